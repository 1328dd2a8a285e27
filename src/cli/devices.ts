/** salvor devices: the disks of this host, what is on them, and which of them are in use. */
import type { Command } from 'commander';
import { type DeviceContent, type DeviceReport, reportOf, usesOf } from '../stack/device-contents.ts';
import { listDevices, placesBelow } from '../stack/devices.ts';
import { type HeldFile, heldFiles, heldWarning } from '../stack/held-files.ts';
import { INTACT, NOTHING, UNCERTAIN } from './command.ts';
import { note, print, printJson, shown, size } from './output.ts';

export function register(program: Command): void {
  program
    .command('devices')
    .summary('list the disks of this computer, what is on them, and which are in use')
    .description(
      'Lists block devices with size and model, what is on them, and whether this computer uses them. ' +
        'They are only read, and only where partition tables and file systems begin. Disks of machines that were ' +
        'deleted while a process has them open are listed too: they can be had for as long as it runs.',
    )
    .option('--json', 'one JSON document on standard output')
    .option('--all', 'also devices without a medium, and loop devices without a file')
    .option('--sysroot <folder>', 'take /sys, /proc and /dev of another system from below this folder', '/')
    .addHelpText('after', EXAMPLES)
    .action(async (options: DevicesOptions) => {
      process.exitCode = await devices(options);
    });
}

interface DevicesOptions {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly sysroot: string;
}

const EXAMPLES = `
Examples:
  salvor devices                   then: salvor inspect /dev/sdb
  salvor devices --json --all`;

async function devices({ json, all, sysroot }: DevicesOptions): Promise<number> {
  const reports: DeviceReport[] = [];
  for (const device of listDevices(placesBelow(sysroot))) {
    if (all === true || device.size > 0) reports.push(await reportOf(device));
  }
  const held = await heldFiles(placesBelow(sysroot));
  if (json === true) {
    const deleted = held.map((file) => ({ ...file, warning: heldWarning(file) }));
    printJson({ devices: reports.map(reportJson), deleted });
  } else if (reports.length + held.length > 0)
    print([...reports.flatMap(lines), ...held.flatMap(heldLines)].join('\n'));
  if (reports.length + held.length === 0) {
    note('This system shows no block devices. In a container, give an image or pass the device through.');
    return NOTHING;
  }
  return reports.some((report) => report.unseen !== undefined) ? UNCERTAIN : INTACT;
}

const NOTHING_KNOWN = '  nothing known was found at its start';

function lines({ device, contents, unseen, warning }: DeviceReport): string[] {
  const kind = [
    device.rotational === undefined ? '' : device.rotational ? 'rotating' : 'solid state',
    device.removable ? 'removable' : '',
    device.readOnly ? 'read-only' : '',
    device.backing === undefined ? '' : `from ${device.backing}`,
  ];
  const model = [device.vendor, device.model, device.label].filter(Boolean).join(' ');
  const serial = device.serial === undefined ? '' : `serial ${device.serial}`;
  const head = [device.path, size(device.size), model, serial, ...kind].filter(Boolean).join(', ');
  const out = [shown(head)];
  if (warning !== undefined) out.push(`  ! ${shown(warning)}`);
  if (unseen !== undefined) out.push(`  not looked into: ${shown(unseen)}`);
  else if (contents.length === 0 && device.size > 0) out.push(NOTHING_KNOWN);
  for (const content of contents) out.push(`  ${contentLine(content)}`);
  return out;
}

function heldLines(file: HeldFile): string[] {
  const holder = `held by ${file.command} (process ${file.process})`;
  return [
    shown(`${file.path}, ${size(file.size)}, deleted file ${file.was}, ${holder}`),
    `  ! ${shown(heldWarning(file))}`,
    ...(file.contents.length === 0 ? [NOTHING_KNOWN] : file.contents.map((content) => `  ${contentLine(content)}`)),
  ];
}

function contentLine({ part, size: bytes, type, what, locator, damaged }: DeviceContent): string {
  const uses = part === undefined ? [] : usesOf(part.use);
  const fields = [
    part?.path,
    bytes === undefined ? undefined : size(bytes),
    type,
    what,
    locator === part?.path ? undefined : locator,
    ...uses,
    damaged ? 'damaged' : undefined,
  ];
  return shown(fields.filter((field) => field !== undefined).join(', '));
}

function reportJson({ device, contents, unseen, warning }: DeviceReport): Record<string, unknown> {
  const { parts: _, ...facts } = device;
  return {
    ...facts,
    contents: contents.map(({ part, ...content }) => ({ ...content, ...(part && { path: part.path, use: part.use }) })),
    ...(unseen !== undefined && { unseen }),
    ...(warning !== undefined && { warning }),
  };
}
