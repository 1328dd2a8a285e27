/** The report over HTTP: a file to keep, never a page of this server. */
import type { Context } from 'hono';
import { type Report, reportHtml } from '../export/index.ts';
import { faultOf } from './route.ts';
import type { Workspace } from './workspace.ts';

/** Answers with the report as HTML, or as JSON with `?format=json`. */
export async function reportFor(c: Context, workspace: Workspace): Promise<Response> {
  try {
    const report = await workspace.ask<Report>('report', {});
    const isJson = c.req.query('format') === 'json';
    const policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
    return c.body(isJson ? `${JSON.stringify(report, null, 1)}\n` : reportHtml(report), 200, {
      'Content-Type': isJson ? 'application/json' : 'text/html; charset=utf-8',
      'Content-Security-Policy': policy,
      'Content-Disposition': `attachment; filename="salvor-report.${isJson ? 'json' : 'html'}"`,
    });
  } catch (error) {
    return faultOf(c, error);
  }
}
