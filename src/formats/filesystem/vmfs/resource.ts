/** Resource files: pools of descriptors, sub-blocks and pointer blocks, in clusters, in groups. Source: vmfs.md section 6. */
import type { Source } from '../../../core/source.ts';
import type { Geometry } from './geometry.ts';
import { type ResourceHeader, resourceHeader } from './structs.ts';

export type ResourceKind = 'fdc' | 'pbc' | 'sbc' | 'pb2' | 'fbb';

export interface ResourceFile {
  readonly kind: ResourceKind;
  /** The file's own bytes. */
  readonly source: Source;
  readonly header: ResourceHeader;
  /** False where the header was lost and its numbers come from rules. */
  readonly sound: boolean;
  /** Offset of a resource in the file, or undefined where its cluster has no such number. */
  offsetOf(cluster: number, resource: number): number | undefined;
  /** Offset of a cluster's header in the file. */
  clusterAt(cluster: number): number;
  /** Offsets in the file where the resources of a cluster's whole group start and end. */
  groupData(cluster: number): readonly [number, number];
}

/** Resources per cluster where the header is lost. Largest of the real volumes: the others fit into it. */
const TYPICAL: Readonly<Record<3 | 5 | 6, Readonly<Record<ResourceKind, number>>>> = {
  3: { fdc: 32, pbc: 16, sbc: 16, pb2: 16, fbb: 200 },
  5: { fdc: 32, pbc: 16, sbc: 32, pb2: 16, fbb: 200 },
  6: { fdc: 256, pbc: 256, sbc: 256, pb2: 32, fbb: 16 },
};

/** Reads a resource file's header and makes its arithmetic. `source` is the file's own bytes. */
export async function openResource(g: Geometry, kind: ResourceKind, source: Source): Promise<ResourceFile> {
  const block = new Uint8Array(resourceHeader.size);
  const gaps = await source.read(0, block);
  const stated = resourceHeader.decode(block);
  const size = { fdc: g.fdBytes, pbc: g.pointerBlockBytes, sbc: g.subBlockSize, pb2: g.pointerBlockBytes, fbb: 0 }[
    kind
  ];
  const sound = gaps.length === 0 && isSound(g, kind, stated, size);
  const header = sound ? stated : derived(g, kind, stated, size);
  const { groupOffset, groupSize, clustersPerGroup, perCluster } = header;
  const headers = clustersPerGroup * g.clusterHeaderBytes;
  return {
    kind,
    source,
    header,
    sound,
    offsetOf(cluster, resource) {
      if (resource >= perCluster) return undefined;
      const group = Math.floor(cluster / clustersPerGroup);
      const inGroup = (cluster % clustersPerGroup) * perCluster + resource;
      return groupOffset + group * groupSize + headers + inGroup * header.size;
    },
    groupData(cluster) {
      const start = groupOffset + Math.floor(cluster / clustersPerGroup) * groupSize + headers;
      return [start, start + clustersPerGroup * perCluster * header.size];
    },
    clusterAt(cluster) {
      const group = Math.floor(cluster / clustersPerGroup);
      return groupOffset + group * groupSize + (cluster % clustersPerGroup) * g.clusterHeaderBytes;
    },
  };
}

function isSound(g: Geometry, kind: ResourceKind, header: ResourceHeader, size: number): boolean {
  if (resourceHeader.violations(header).length > 0) return false;
  if (kind === 'fbb') return true;
  if (header.size !== size) return false;
  const { clustersPerGroup, perCluster, groupSize } = header;
  return groupSize === clustersPerGroup * (g.clusterHeaderBytes + perCluster * size);
}

/** All numbers of a header follow from the geometry and the resources per cluster. */
function derived(g: Geometry, kind: ResourceKind, stated: ResourceHeader, size: number): ResourceHeader {
  const { clustersPerGroup, groupOffset } = g;
  const perCluster = TYPICAL[g.version][kind];
  const groupSize = clustersPerGroup * (g.clusterHeaderBytes + perCluster * size);
  return { ...stated, perCluster, clustersPerGroup, groupOffset, size, groupSize };
}
