/** What guests are called on each platform. Source: vmconfig.md section 6. */
import type { GuestFacts } from '../../../core/guest.ts';
import type { MachineModel } from '../../../core/machine.ts';

/** A guest in the words of all platforms; those with 64 bits where there is a choice. */
export interface GuestWords {
  readonly what: string;
  readonly vmware: string;
  readonly virtualbox: string;
  readonly osinfo: string;
  readonly ostype: string;
  /** Before 2007: it may know nothing newer than IDE. */
  readonly old: boolean;
}

type Row = readonly [RegExp, string, string, string, string, string, boolean?];

/** Matched from the top, against a text like "windows server 2019", "windows9srv-64" or "debian 12". */
const ROWS: readonly Row[] = [
  [/windows.?11|win11|\/win\/11/, 'Windows 11', 'windows11-64', 'Windows11_64', 'http://microsoft.com/win/11', 'win11'],
  [
    /2025|srvnext.?64.*2025|2k25|windows2022srvnext/,
    'Windows Server 2025',
    'windows2022srvNext-64',
    'Windows2022_64',
    'http://microsoft.com/win/2k25',
    'win11',
  ],
  [
    /server 2022|windows2019srvnext|windows2022|2k22/,
    'Windows Server 2022',
    'windows2019srvNext-64',
    'Windows2022_64',
    'http://microsoft.com/win/2k22',
    'win11',
  ],
  [
    /server 2019|windows2019|2k19/,
    'Windows Server 2019',
    'windows2019srv-64',
    'Windows2019_64',
    'http://microsoft.com/win/2k19',
    'win10',
  ],
  [
    /server 2016|windows9srv|windows9server|windows2016|2k16/,
    'Windows Server 2016',
    'windows9srv-64',
    'Windows2016_64',
    'http://microsoft.com/win/2k16',
    'win10',
  ],
  [
    /2012 ?r2|2k12r2/,
    'Windows Server 2012 R2',
    'windows8srv-64',
    'Windows2012_64',
    'http://microsoft.com/win/2k12r2',
    'win8',
  ],
  [
    /server 2012|windows8srv|windows8server|windows2012|2k12/,
    'Windows Server 2012',
    'windows8srv-64',
    'Windows2012_64',
    'http://microsoft.com/win/2k12',
    'win8',
  ],
  [
    /2008 ?r2|windows7srv|windows7server|2k8r2/,
    'Windows Server 2008 R2',
    'windows7srv-64',
    'Windows2008_64',
    'http://microsoft.com/win/2k8r2',
    'win7',
  ],
  [
    /server 2008|longhorn|windows2008|2k8/,
    'Windows Server 2008',
    'longhorn-64',
    'Windows2008_64',
    'http://microsoft.com/win/2k8',
    'w2k8',
  ],
  [
    /server 2003|winnet|windows2003|2k3/,
    'Windows Server 2003',
    'winnetstandard',
    'Windows2003',
    'http://microsoft.com/win/2k3',
    'w2k3',
    true,
  ],
  [
    /windows.?10|win10|windows9|\/win\/10/,
    'Windows 10',
    'windows9-64',
    'Windows10_64',
    'http://microsoft.com/win/10',
    'win10',
  ],
  [/windows ?8|win8|\/win\/8/, 'Windows 8', 'windows8-64', 'Windows81_64', 'http://microsoft.com/win/8.1', 'win8'],
  [/windows ?7|win7|\/win\/7/, 'Windows 7', 'windows7-64', 'Windows7_64', 'http://microsoft.com/win/7', 'win7'],
  [/vista|wvista/, 'Windows Vista', 'winvista-64', 'WindowsVista_64', 'http://microsoft.com/win/vista', 'wvista'],
  [
    /windows ?xp|winxp|wxp|\/win\/xp/,
    'Windows XP',
    'winxppro',
    'WindowsXP',
    'http://microsoft.com/win/xp',
    'wxp',
    true,
  ],
  [
    /windows 2000|win2000|w2k\b|windows2000/,
    'Windows 2000',
    'win2000pro',
    'Windows2000',
    'http://microsoft.com/win/2k',
    'w2k',
    true,
  ],
  [/^win|windows|microsoft/, 'Windows', 'windows9-64', 'Windows10_64', 'http://microsoft.com/win/10', 'win10'],
  [/ubuntu/, 'Ubuntu', 'ubuntu-64', 'Ubuntu_64', 'http://ubuntu.com/ubuntu/22.04', 'l26'],
  [/debian\D{0,20}13/, 'Debian 13', 'debian12-64', 'Debian_64', 'http://debian.org/debian/13', 'l26'],
  [/debian\D{0,20}12/, 'Debian 12', 'debian12-64', 'Debian_64', 'http://debian.org/debian/12', 'l26'],
  [/debian\D{0,20}11/, 'Debian 11', 'debian11-64', 'Debian_64', 'http://debian.org/debian/11', 'l26'],
  [/debian/, 'Debian', 'debian10-64', 'Debian_64', 'http://debian.org/debian/10', 'l26'],
  [
    /rocky\D{0,20}9|rocky\D{0,20}(?!\d)/,
    'Rocky Linux',
    'rockylinux-64',
    'RedHat_64',
    'http://rockylinux.org/rocky/9',
    'l26',
  ],
  [/alma/, 'AlmaLinux', 'almalinux-64', 'RedHat_64', 'http://almalinux.org/almalinux/9', 'l26'],
  [/centos\D{0,20}9/, 'CentOS Stream 9', 'centos9-64', 'RedHat_64', 'http://centos.org/centos-stream/9', 'l26'],
  [/centos\D{0,20}8/, 'CentOS 8', 'centos8-64', 'RedHat_64', 'http://centos.org/centos/8', 'l26'],
  [/centos/, 'CentOS 7', 'centos7-64', 'RedHat_64', 'http://centos.org/centos/7.0', 'l26'],
  [/oracle ?linux|^ol\b/, 'Oracle Linux', 'oraclelinux8-64', 'Oracle_64', 'http://oracle.com/ol/8.0', 'l26'],
  [
    /(?:rhel|red ?hat)\D{0,24}9/,
    'Red Hat Enterprise Linux 9',
    'rhel9-64',
    'RedHat_64',
    'http://redhat.com/rhel/9.0',
    'l26',
  ],
  [
    /(?:rhel|red ?hat)\D{0,24}8/,
    'Red Hat Enterprise Linux 8',
    'rhel8-64',
    'RedHat_64',
    'http://redhat.com/rhel/8.0',
    'l26',
  ],
  [/rhel|red ?hat/, 'Red Hat Enterprise Linux 7', 'rhel7-64', 'RedHat_64', 'http://redhat.com/rhel/7.0', 'l26'],
  [/opensuse/, 'openSUSE', 'opensuse-64', 'OpenSUSE_64', 'http://opensuse.org/opensuse/15.5', 'l26'],
  [/sles|suse/, 'SUSE Linux Enterprise', 'sles15-64', 'OpenSUSE_64', 'http://suse.com/sles/15', 'l26'],
  [/fedora/, 'Fedora', 'fedora-64', 'Fedora_64', 'http://fedoraproject.org/fedora/40', 'l26'],
  [/freebsd/, 'FreeBSD', 'freebsd-64', 'FreeBSD_64', 'http://freebsd.org/freebsd/13.0', 'other'],
  [/solaris/, 'Solaris', 'solaris11-64', 'Solaris11_64', 'http://oracle.com/solaris/11', 'solaris'],
  [/alpine/, 'Alpine Linux', 'other5xlinux-64', 'Linux26_64', 'http://alpinelinux.org/alpinelinux/3.19', 'l26'],
  [/linux|l26/, 'Linux', 'other5xlinux-64', 'Linux26_64', 'http://libosinfo.org/linux/2022', 'l26'],
];
const UNKNOWN: GuestWords = {
  what: 'an unknown guest',
  vmware: 'other-64',
  virtualbox: 'Other_64',
  osinfo: '',
  ostype: 'other',
  old: false,
};

/** The words for a guest, by what is inside the disks, else by what the configuration says; and which of them. */
export function guestWords(model: MachineModel, guest: GuestFacts): { words: GuestWords; from: string | undefined } {
  const inside = guest.product ?? guest.id;
  const seen = inside && wordsFor(`${inside.value} ${guest.id?.value ?? ''} ${guest.version?.value ?? ''}`);
  if (seen !== undefined) return { words: seen, from: inside!.from };
  const said = model.guest && wordsFor(model.guest.value);
  return { words: said ?? UNKNOWN, from: said === undefined ? undefined : model.guest!.from };
}

function wordsFor(text: string): GuestWords | undefined {
  const lower = text.toLowerCase();
  const row = ROWS.find(([pattern]) => pattern.test(lower));
  if (row === undefined) return undefined;
  const [, what, vmware, virtualbox, osinfo, ostype, old = false] = row;
  return { what, vmware, virtualbox, osinfo, ostype, old };
}

/** The same word for a guest of 32 bits, where nothing else is known of it. */
export function narrow(word: string, bits: 32 | 64): string {
  return bits === 64 ? word : word.replace(/[-_]64$/, '');
}
