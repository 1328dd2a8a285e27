/** Answers that are made while they are sent, and cut off where they cannot be made to their end. */
import type { ServerResponse } from 'node:http';
import type { Context } from 'hono';

type Piece = Uint8Array<ArrayBuffer>;

/**
 * A stream of what a generator makes; its first piece is made before anything is answered, so that its fault can still
 * be said. A later fault ends the connection: what was sent must not pass for the whole, and no word of ours for bytes.
 */
export async function streamOf(c: Context, pieces: AsyncGenerator<Piece>): Promise<ReadableStream<Piece>> {
  let next: IteratorResult<Piece> | undefined = await pieces.next();
  const { outgoing } = c.env as { outgoing?: ServerResponse };
  return new ReadableStream<Piece>({
    async pull(controller) {
      try {
        const piece = next ?? (await pieces.next());
        next = undefined;
        if (piece.done === true) controller.close();
        else controller.enqueue(piece.value);
      } catch (error) {
        const socket = outgoing?.socket;
        if (socket === undefined || socket === null) throw error;
        // An error of the stream would be written into the answer by the server, as if it were a part of it.
        socket.destroySoon();
        await new Promise(() => undefined);
      }
    },
    async cancel() {
      await pieces.return(undefined);
    },
  });
}
