/** What keeps a server from starting. */

/** A fault of the address or of the surroundings; the message is a sentence. */
export class ServeError extends Error {}
