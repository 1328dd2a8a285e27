/** Pages of a PDF, drawn by pdf.js without its scripts, forms or links. */
import { Button, Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import * as pdfjs from 'pdfjs-dist';
import workerUrl from 'pdfjs-dist/build/pdf.worker.min.mjs?url';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { bytesOf } from '../lib/api.ts';
import { Fault } from '../parts/fault.tsx';

pdfjs.GlobalWorkerOptions.workerSrc = workerUrl;

const MAX_BYTES = 64 * 1024 * 1024;
const WIDTH = 900;

async function opened(locator: string, size: number): Promise<pdfjs.PDFDocumentProxy> {
  if (size > MAX_BYTES) throw new Error('It is too large for a preview. Recover it to look at it.');
  const data = await bytesOf(locator, 0, size);
  const options = { isEvalSupported: false, enableXfa: false, disableFontFace: true, useSystemFonts: false };
  return pdfjs.getDocument({ data, ...options, useWorkerFetch: false, stopAtErrors: false }).promise;
}

export function PdfView({ locator, size }: { locator: string; size: number }): ReactNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [number, setNumber] = useState(1);
  const [isDrawn, setDrawn] = useState(false);
  const { data, error } = useQuery({ queryKey: ['pdf', locator], queryFn: () => opened(locator, size), retry: false });
  useEffect(() => {
    let isGone = false;
    const draw = async (): Promise<void> => {
      if (data === undefined || canvas.current === null) return;
      const page = await data.getPage(number);
      const plain = page.getViewport({ scale: 1 });
      const viewport = page.getViewport({ scale: WIDTH / plain.width });
      if (isGone) return;
      canvas.current.width = viewport.width;
      canvas.current.height = viewport.height;
      const modes = pdfjs.AnnotationMode;
      await page.render({ canvas: canvas.current, viewport, annotationMode: modes.DISABLE }).promise;
      setDrawn(true);
    };
    draw().catch(() => setDrawn(true));
    return () => {
      isGone = true;
    };
  }, [data, number]);
  if (error !== null) return <Fault error={error} />;
  return (
    <div data-drawn={isDrawn}>
      <Group gap="xs" mb="xs">
        <Button size="xs" variant="default" disabled={number <= 1} onClick={() => setNumber(number - 1)}>
          Previous page
        </Button>
        <span>
          page {number} of {data?.numPages ?? '…'}
        </span>
        <Button
          size="xs"
          variant="default"
          disabled={data === undefined || number >= data.numPages}
          onClick={() => setNumber(number + 1)}
        >
          Next page
        </Button>
      </Group>
      <canvas
        ref={canvas}
        role="img"
        aria-label={`Page ${number} of the document`}
        style={{ width: '100%', background: '#fff', border: '1px solid var(--salvor-line)' }}
      />
    </div>
  );
}
