/** Times of files as the system takes them. */

/** Seconds since 1970 for a call that sets times: numbers below zero are taken for no time at all there, dates are not. */
export function stamp(seconds: number): number | Date {
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
}
