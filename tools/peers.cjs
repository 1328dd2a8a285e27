// The one list of peers: independent programs from Debian that tests and benchmarks compare with.
'use strict';
const { spawnSync } = require('node:child_process');
const { existsSync } = require('node:fs');

const peers = [
  { package: 'vmfs-tools', command: 'debugvmfs', for: 'VMFS3 and VMFS5: reads what the makers write' },
  { package: 'vmfs6-tools', command: 'debugvmfs6', for: 'VMFS6: reads what the makers write' },
  { package: 'fuse3', command: 'fusermount3', for: 'mounts of vmfs-fuse and vmfs6-fuse' },
  { package: 'qemu-utils', command: 'qemu-img', for: 'virtual disks: reads and compares them' },
  { package: 'libvmdk-utils', command: 'vmdkinfo', for: 'VMDK descriptors' },
  { package: 'gdisk', command: 'sgdisk', for: 'partition tables' },
  { package: 'gddrescue', command: 'ddrescuelog', for: 'mapfiles' },
  { package: 'ntfs-3g', command: 'mkntfs', for: 'guests with NTFS, and what is formatted over a store' },
  { package: 'mdadm', command: 'mdadm', for: 'members of Linux arrays' },
  { package: 'thin-provisioning-tools', command: 'thin_restore', for: 'metadata of thin pools' },
  { package: 'sleuthkit', command: 'fls', for: 'listings of NTFS, side by side' },
  { package: 'xfsprogs', command: 'mkfs.xfs', for: 'guests with XFS' },
  { package: 'dosfstools', command: 'mkfs.fat', for: 'volumes of FAT' },
  { package: 'mtools', command: 'mcopy', for: 'what lies on volumes of FAT' },
  { package: 'exfatprogs', command: 'mkfs.exfat', for: 'volumes of exFAT' },
  { package: 'exfat-fuse', command: 'mount.exfat-fuse', for: 'what lies on volumes of exFAT' },
  { package: 'genisoimage', command: 'genisoimage', for: 'volumes of ISO 9660' },
  { package: 'btrfs-progs', command: 'mkfs.btrfs', for: 'guests with btrfs' },
  { package: 'libnbd-bin', command: 'nbdcopy', for: 'disks over NBD: reads and compares them' },
  { package: 'cadaver', command: 'cadaver', for: 'evidence over WebDAV, as a client of it sees it' },
  { package: 'qemu-system-x86', command: 'qemu-system-x86_64', for: 'machines that are started from evidence' },
  { package: 'libvirt-clients', command: 'virsh', for: 'configurations for KVM: takes and checks them' },
  { package: 'libvirt-daemon-driver-qemu', command: 'virt-qemu-run', for: 'machines that libvirt itself starts' },
  { package: 'ovmf', file: '/usr/share/OVMF/OVMF_CODE_4M.fd', for: 'machines that start by EFI' },
  { package: 'busybox-static', command: 'busybox', for: 'the small guest that is started' },
  { package: 'chromium', command: 'chromium', for: 'the web interface, as a browser sees it' },
  { package: 'strace', command: 'strace', for: 'the proof that evidence is only read, and read errors on demand' },
];

// What only the scoreboard compares with, or makes its guests with; tests run without.
const scoreboard = [
  { package: 'testdisk', command: 'photorec', for: 'recovery by content, beside ours' },
  { package: 'faketime', command: 'faketime', for: 'guests that are the same bytes each time' },
];

function present(command) {
  return spawnSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;
}

/** Installs what is missing with apt; says so where that cannot be done. */
function installPeers(list = peers) {
  const missing = list
    .filter((peer) => (peer.file === undefined ? !present(peer.command) : !existsSync(peer.file)))
    .map((peer) => peer.package);
  if (missing.length === 0) return;
  console.log(`Installing peers from Debian: ${missing.join(', ')} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0;
  if (apt('update', '-q') && apt('install', '-qy', '--no-install-recommends', ...missing)) return;
  console.log('apt-get could not install them (it needs root on Debian); their tests will be skipped by name.');
}

module.exports = { peers, scoreboard, present, installPeers };

// node tools/peers.cjs: all of them.
if (require.main === module) installPeers([...peers, ...scoreboard]);
