/** Who may look: this machine, with this run's token as the password; pages of other sites never. */
import type { Context, MiddlewareHandler } from 'hono';
import { foreignTo, harden, newToken, same } from '../guard.ts';

/** What file managers are asked with. */
const CHALLENGE = 'Basic realm="Salvor", charset="UTF-8"';

export class DavGuard {
  /** Undefined where all programs of this machine may look. */
  readonly token: string | undefined;
  readonly #hosts: () => readonly string[];

  constructor(hosts: () => readonly string[], isOpen: boolean) {
    this.token = isOpen ? undefined : newToken();
    this.#hosts = hosts;
  }

  /** Stands before everything. */
  door(): MiddlewareHandler {
    return async (c, next) => {
      const foreign = foreignTo(c, this.#hosts());
      if (foreign !== undefined) c.res = c.text(`${foreign.error}\n`, 403);
      else if (!this.#isKnown(c)) {
        c.res = c.text('The password is the token that "salvor dav" printed; the name may be anything.\n', 401, {
          'WWW-Authenticate': CHALLENGE,
        });
      } else await next();
      harden(c);
    };
  }

  #isKnown(c: Context): boolean {
    if (this.token === undefined) return true;
    const said = c.req.header('authorization') ?? '';
    const bearer = /^Bearer (.+)$/.exec(said)?.[1];
    const basic = /^Basic ([A-Za-z0-9+/=]{1,512})$/i.exec(said)?.[1];
    const pair = basic === undefined ? undefined : Buffer.from(basic, 'base64').toString('utf8');
    const password = pair?.includes(':') === true ? pair.slice(pair.indexOf(':') + 1) : undefined;
    return same(password ?? bearer, this.token);
  }
}
