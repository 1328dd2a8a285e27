/** Limits on what evidence can make the program do. Each one that is reached is damage, never a crash. */

/** Layers of maps on top of each other. Chains of 255 links are flattened by stack/ and count as one. */
export const MAX_DEPTH = 64;
/** Directory levels below a volume's root. */
export const MAX_PATH_DEPTH = 128;
/** Entries of one directory. */
export const MAX_ENTRIES = 4_000_000;
/** Partitions in one table. */
export const MAX_PARTITIONS = 1024;
/** Bytes of a text that describes something: a descriptor, a machine's configuration. */
export const MAX_TEXT: number = 4 * 1024 * 1024;
/** Regular files taken from one directory that was given as evidence. */
export const MAX_FILES_OF_DIRECTORY = 10_000;
/** Damages kept per node; the count goes on. */
export const MAX_DAMAGES = 1000;
/** Bytes that all cached tables of the process may take together. */
export const TABLE_CACHE_BYTES: number = 32 * 1024 * 1024;
/** Links of one chain of snapshots. */
export const MAX_CHAIN = 256;
/** Bytes of one component of a path that is written, with room for ".part" and ";2" in the 255 that systems allow. */
export const MAX_NAME_BYTES = 240;
/** Bytes of a whole path that is written; Linux allows 4096 with the final zero. */
export const MAX_PATH_BYTES = 4080;
/** Gaps listed for one file; what follows is joined to the last one. */
export const MAX_GAPS = 65_536;
/** Sentences about a run as a whole. */
export const MAX_NOTES = 1000;
/** Levels of volumes, disks and partitions that are entered on the way to a file system. */
export const MAX_LAYERS = 16;
