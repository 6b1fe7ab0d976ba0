/** What went wrong, in words for people: browsers word their errors for whoever wrote the page. */

/** An error whose message a person can do something with. */
export class Failure extends Error {}

/** What to show, and to tell the other side: the words of a `Failure`; others go to the console. */
export function wordsOf(error: unknown): string {
  if (error instanceof Failure) return error.message;
  console.error(error);
  return "The browser could not do it. Load the page again, then try once more.";
}
