/** The HTTP API: every question, with what stands before it. */
import { OpenAPIHono, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { ASSET_POLICY, loadAssets, pageOf } from './assets.ts';
import { sendBytes, sendScreen } from './bytes.ts';
import type { Guard } from './guard.ts';
import { folderOf } from './host-files.ts';
import { reportFor } from './report.ts';
import { add } from './route.ts';
import * as schemas from './schemas.ts';
import * as previews from './schemas-preview.ts';
import type { Workspace } from './workspace.ts';

/** Between two states of jobs that are sent, and between signs of life. */
const EVENT_MS = 200;
const ALIVE_MS = 15_000;

/** The whole application: pages, API, bytes. */
export function appOf(workspace: Workspace, guard: Guard): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const [first] = result.error.issues;
      return c.json({ error: `${first.path.join('.')}: ${first.message}`, code: 'request' }, 400);
    },
  });
  app.use('*', guard.door());
  app.onError((_, c) => c.json({ error: 'The request could not be understood.', code: 'request' }, 400));
  app.notFound((c) => c.json({ error: 'There is nothing at this address.', code: 'address' }, 404));
  pages(app);
  add(
    app,
    {
      method: 'post',
      path: '/api/login',
      summary: 'Exchange the token for a cookie',
      asks: schemas.Login,
      answers: z.object({ known: z.boolean() }),
    },
    ({ token }, c) => ({ known: guard.login(c, token) }),
  );
  app.use('/api/*', guard.known());
  app.use('/openapi.json', guard.known());
  app.doc('/openapi.json', { openapi: '3.0.0', info: { title: 'Salvor', version: workspace.view.version } });
  session(app, workspace);
  looking(app, workspace);
  jobs(app, workspace);
  app.get('/api/bytes', (c) => sendBytes(c, workspace, false));
  app.get('/api/media', (c) => sendBytes(c, workspace, true));
  app.get('/api/screen', (c) => sendScreen(c, workspace));
  app.get('/api/report', (c) => reportFor(c, workspace));
  events(app, workspace);
  return app;
}

function pages(app: OpenAPIHono): void {
  const assets = loadAssets();
  app.get('*', async (c, next) => {
    const name = c.req.path === '/' ? '/index.html' : c.req.path;
    const asset = assets.get(name);
    if (asset === undefined && name === '/index.html')
      return c.text('The web interface is not built. Run: npm run build', 503);
    if (asset === undefined) return next();
    if (name === '/index.html') {
      const { body, policy } = pageOf(asset.bytes);
      return c.body(body, 200, { 'Content-Type': asset.type, 'Content-Security-Policy': policy });
    }
    const forever = asset.isForever ? 'public, max-age=31536000, immutable' : 'no-cache';
    const headers = { 'Content-Type': asset.type, 'Content-Security-Policy': ASSET_POLICY, 'Cache-Control': forever };
    return c.body(asset.bytes, 200, headers);
  });
}

function session(app: OpenAPIHono, workspace: Workspace): void {
  const { SessionView, OpenRequest, Devices, Folder, PathQuery } = schemas;
  add(
    app,
    { method: 'get', path: '/api/session', summary: 'What is open', answers: SessionView },
    () => workspace.view,
  );
  add(
    app,
    { method: 'post', path: '/api/session', summary: 'Open sources', asks: OpenRequest, answers: SessionView },
    async ({ sources, case: dir }) => {
      await workspace.open(sources, dir);
      return workspace.view;
    },
  );
  add(
    app,
    { method: 'get', path: '/api/host/devices', summary: 'Block devices of this machine', answers: Devices },
    () => workspace.askHost('devices'),
  );
  add(
    app,
    { method: 'get', path: '/api/host/files', summary: 'A folder of this machine', asks: PathQuery, answers: Folder },
    ({ path }) => folderOf(path),
  );
}

function looking(app: OpenAPIHono, workspace: Workspace): void {
  const get = <Q extends z.ZodObject, A extends z.ZodType>(
    op: string,
    summary: string,
    asks: Q | undefined,
    answers: A,
  ): void =>
    add(app, { method: 'get', path: `/api/${op}`, summary, asks, answers }, (asked) =>
      workspace.ask<z.infer<A>>(op, asked),
    );
  get('diagnosis', 'What is there, in which health, and what can be had', undefined, schemas.Diagnosis);
  get('tree', 'What lies below a thing, page by page', schemas.TreeQuery, schemas.TreePage);
  get('node', 'All facts of one thing', schemas.LocatorQuery, schemas.NodeView);
  get('grades', 'How certain its bytes are', schemas.LocatorQuery, schemas.Grades);
  get('map', 'State and certainty of its bytes, in parts', schemas.MapQuery, schemas.Picture);
  get('hex', 'A few of its bytes', schemas.HexQuery, schemas.Hex);
  get('way', 'The way of one byte through all layers', schemas.WayQuery, schemas.Way);
  get('preview', 'What can be shown of it', previews.PreviewQuery, previews.Preview);
  get('registry', 'What lies below a key of a registry hive', previews.KeyQuery, previews.RegistryKey);
  get('search', 'Everything of that name', schemas.SearchQuery, schemas.Found);
  get('machines', 'Virtual machines', undefined, schemas.Machines);
  get('plan', 'What a machine would be on each platform, and why', schemas.MachineQuery, schemas.Plan);
  get('chains', 'Chains of snapshots', undefined, schemas.Chains);
  get('case', 'What the case knows', undefined, schemas.CaseView);
}

function jobs(app: OpenAPIHono, workspace: Workspace): void {
  const { JobRequest, JobView, JobQuery, Jobs } = schemas;
  add(app, { method: 'get', path: '/api/jobs', summary: 'All jobs of this run', answers: Jobs }, () => ({
    jobs: workspace.jobs.views,
  }));
  add(
    app,
    {
      method: 'post',
      path: '/api/jobs',
      summary: 'Begin a job, or go on with it',
      asks: z.object({ job: JobRequest }),
      answers: JobView,
    },
    ({ job }) => workspace.work(job),
  );
  add(
    app,
    {
      method: 'post',
      path: '/api/jobs/stop',
      summary: 'Stop a job where it can be gone on with',
      asks: JobQuery,
      answers: z.object({ stopped: z.boolean() }),
    },
    ({ id }) => ({ stopped: workspace.jobs.stop(id) }),
  );
}

function events(app: OpenAPIHono, workspace: Workspace): void {
  app.get('/api/events', (c) =>
    streamSSE(c, async (stream) => {
      let isChanged = true;
      let wake = (): void => undefined;
      const changed = (): void => {
        isChanged = true;
        wake();
      };
      workspace.events.on('change', changed);
      stream.onAbort(changed);
      try {
        while (!stream.aborted && !stream.closed) {
          if (isChanged) {
            isChanged = false;
            const state = { session: workspace.view, jobs: workspace.jobs.views };
            await stream.writeSSE({ event: 'state', data: JSON.stringify(state) });
            await stream.sleep(EVENT_MS);
          } else {
            const woken = await new Promise<boolean>((resolve) => {
              const timer = setTimeout(() => resolve(false), ALIVE_MS);
              wake = () => {
                clearTimeout(timer);
                resolve(true);
              };
            });
            if (!woken) await stream.writeSSE({ event: 'alive', data: '' });
          }
        }
      } finally {
        workspace.events.off('change', changed);
      }
    }),
  );
}
