/** The one way to the server. */

/** What the server said no with: a sentence. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** The address of something with what is asked about it. */
export function address(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)])).toString();
  return text === '' ? path : `${path}?${text}`;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return answered<T>(await fetch(address(path, query), { ...(signal && { signal }), credentials: 'same-origin' }));
}

export async function post<T>(path: string, value: unknown): Promise<T> {
  const headers = { 'Content-Type': 'application/json' };
  return answered<T>(await fetch(path, { method: 'POST', headers, body: JSON.stringify(value) }));
}

/** Some bytes of a thing. */
export async function bytesOf(locator: string, from: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(address('/api/bytes', { locator }), { headers: { Range: `bytes=${from}-${end - 1}` } });
  if (!answer.ok) await answered(answer);
  return new Uint8Array(await answer.arrayBuffer());
}

async function answered<T>(answer: Response): Promise<T> {
  if (answer.ok) return (await answer.json()) as T;
  const said = (await answer.json().catch(() => undefined)) as { error?: string; code?: string } | undefined;
  const message = said?.error ?? `The server answered with ${answer.status}.`;
  throw new ApiError(answer.status, said?.code ?? 'unknown', message);
}

/** Exchanges the token behind the '#' for the cookie, and takes it out of the address. */
export async function login(): Promise<void> {
  const token = /^#([\w-]{20,})$/.exec(location.hash)?.[1];
  if (token === undefined) return;
  await post('/api/login', { token });
  history.replaceState(null, '', '#/');
}
