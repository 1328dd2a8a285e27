/** The one list of what files are known by their content. A new one is a line here. */
import type { Carver } from '../../core/carver.ts';
import { cabinet, gzip, rar, sevenZip, tar, xz, zstd } from './archives.ts';
import { ese, evtx, hive, sqlite, wal } from './databases.ts';
import { compound, eml, html, pdf, pem, postscript, pst, rtf, svg } from './documents.ts';
import { jpeg } from './jpeg.ts';
import { flac, matroska, mp3, mp4, ogg, riff } from './media.ts';
import { bmp, gif, ico, png, psd, tiff } from './pictures.ts';
import { capture, elf, font, iso, midi, pe, qcow, shortcut, woff } from './programs.ts';
import { zip } from './zip.ts';

export const carvers: readonly Carver[] = [
  jpeg, png, gif, bmp, tiff, psd, ico,
  zip, gzip, xz, zstd, sevenZip, rar, tar, cabinet,
  pdf, compound, rtf, pst, eml, html, svg, postscript, pem,
  sqlite, wal, hive, evtx, ese,
  riff, mp4, ogg, mp3, flac, matroska,
  pe, elf, shortcut, font, woff, capture, midi, iso, qcow,
]; // biome-ignore format: a table
