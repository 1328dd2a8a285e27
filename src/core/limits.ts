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
