/** What a .vmx says the machine is made of. Source: vmconfig.md section 1. */
import type { KeyValues } from '../../codec/keyvalue.ts';
import type { Hardware } from '../../core/node.ts';

/** Network cards and controllers that a configuration can have. */
const MAX_NETWORKS = 10;
const CONTROLLER = /^((?:scsi|sata|nvme|ide)\d{1,2})\.(virtualdev|present)$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const WORD = /^[a-z0-9]{1,20}$/;

/** The hardware that a configuration describes. What it does not say, or says in no legal way, is left out. */
export function hardwareOf(values: KeyValues): Hardware {
  const lower = (key: string): string => (values.get(key) ?? '').toLowerCase();
  const memory = count(lower('memsize'));
  const processors = count(lower('numvcpus'));
  const uuid = lower('uuid.bios').replace(/[ -]/g, '');
  return {
    firmware: lower('firmware') === 'efi' ? 'efi' : 'bios',
    ...(memory !== undefined && { memory }),
    ...(processors !== undefined && { processors }),
    controllers: controllersOf(values),
    networks: networksOf(lower),
    ...(/^[0-9a-f]{32}$/.test(uuid) && { uuid }),
    localTime: lower('guestos').startsWith('win'),
  };
}

function controllersOf(values: KeyValues): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of values) {
    const [, name, what] = CONTROLLER.exec(key) ?? [];
    if (name === undefined) continue;
    const model = value.toLowerCase();
    if (what === 'virtualdev' && WORD.test(model)) out[name] = model;
    else out[name] ??= '';
  }
  return out;
}

function networksOf(lower: (key: string) => string): Hardware['networks'] {
  const out: Hardware['networks'][number][] = [];
  for (let n = 0; n < MAX_NETWORKS; n++) {
    if (lower(`ethernet${n}.present`) !== 'true') continue;
    const model = lower(`ethernet${n}.virtualdev`);
    const mac = [lower(`ethernet${n}.address`), lower(`ethernet${n}.generatedaddress`)].find((text) => MAC.test(text));
    out.push({ model: WORD.test(model) ? model : '', ...(mac !== undefined && { mac }) });
  }
  return out;
}

function count(text: string): number | undefined {
  return /^[1-9]\d{0,7}$/.test(text) ? Number(text) : undefined;
}
