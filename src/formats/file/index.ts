/** The one list of what files are known by their content. A new one is a line here. */
import type { Carver } from '../../core/carver.ts';
import { cabinet, gzip, rar, sevenZip, tar, xz, zstd } from './archives.ts';
import { ese, evtx, hive, sqlite, wal } from './databases.ts';
import { qcow, vdi, vhd, vhdx, vmdk } from './disks.ts';
import { compound, eml, html, pdf, pem, postscript, pst, rtf, svg } from './documents.ts';
import { blender, dex, emf, gltf, jpeg2000, wim } from './drawn.ts';
import { asf, flv, program, transport } from './film.ts';
import { jpeg } from './jpeg.ts';
import { matroska, mp3, mp4, ogg, quickTime, riff } from './media.ts';
import { ar, bzip2, cpio, lz4, lzip } from './packed.ts';
import { bmp, gif, ico, png, psd, tiff } from './pictures.ts';
import { capture, elf, font, iso, midi, pe, shortcut, woff } from './programs.ts';
import { aac, flac, iff, wavpack } from './sound.ts';
import { berkeley, card, javaClass, keepass, pcapng, settings, tnef, torrent } from './stores.ts';
import { zip } from './zip.ts';

export const carvers: readonly Carver[] = [
  jpeg, png, gif, bmp, tiff, psd, ico, emf, jpeg2000, blender, gltf,
  zip, gzip, xz, zstd, sevenZip, rar, tar, cabinet, bzip2, lz4, lzip, cpio, ar, wim,
  pdf, compound, rtf, pst, eml, html, svg, postscript, pem, card, tnef,
  sqlite, wal, hive, evtx, ese, berkeley, keepass,
  riff, mp4, quickTime, ogg, mp3, flac, matroska, wavpack, aac, iff, flv, transport, program, asf,
  pe, elf, javaClass, dex, shortcut, font, woff, capture, pcapng, midi, torrent, settings,
  iso, qcow, vmdk, vdi, vhd, vhdx,
]; // biome-ignore format: a table
