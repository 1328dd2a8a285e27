/** Block devices that can be chosen as evidence. It looks into them, so a child process does it. */
import type { z } from '@hono/zod-openapi';
import { type DeviceContent, reportOf } from '../stack/device-contents.ts';
import { listDevices, placesBelow } from '../stack/devices.ts';
import { heldFiles, heldWarning } from '../stack/held-files.ts';
import { shown, size } from '../stack/words.ts';
import type { Devices } from './schemas.ts';

/** Block devices with what is on them, and deleted disks that processes hold, as `salvor devices` sees them. */
export async function devicesOf(): Promise<z.infer<typeof Devices>> {
  const devices: z.infer<typeof Devices>['devices'] = [];
  for (const device of listDevices(placesBelow('/')).filter((one) => one.size > 0)) {
    const { contents, unseen, warning } = await reportOf(device);
    const model = [device.vendor, device.model, device.label, device.backing].filter(Boolean).join(' ');
    devices.push({
      path: device.path,
      size: device.size,
      model: shown(model),
      ...(device.serial !== undefined && { serial: shown(device.serial) }),
      contents: contents.map(contentLine),
      ...(warning !== undefined && { warning: shown(warning) }),
      ...(unseen !== undefined && { unseen: shown(unseen) }),
    });
  }
  for (const file of await heldFiles(placesBelow('/'))) {
    devices.push({
      path: file.path,
      size: file.size,
      model: shown(`deleted file ${file.was}, held by ${file.command} (process ${file.process})`),
      contents: file.contents.map(contentLine),
      warning: shown(heldWarning(file)),
    });
  }
  return { devices };
}

function contentLine({ size: bytes, type, what, damaged }: DeviceContent): string {
  const parts = [bytes === undefined ? undefined : size(bytes), what ?? type, damaged ? 'damaged' : undefined];
  return shown(parts.filter((part) => part !== undefined).join(', '));
}
