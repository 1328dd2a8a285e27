/** A case that cannot be used. The message is a sentence for the person who named it. */
export class CaseError extends Error {}
