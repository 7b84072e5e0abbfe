import { DataIntegrityError } from "@memory-r1/spec";
import type { DatasetFault, DatasetFile } from "../dataset-definition.ts";

/** A file as it was found. */
interface FoundFile {
  readonly file: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What to do with a file that is not the one that its owners publish. */
export function getOfficial(release: DatasetFile): string {
  return `get the official file from ${release.url}`;
}

/** @throws DataIntegrityError where the checksum of the release is known and the file has another one */
export function requireRelease(found: FoundFile, release: DatasetFile): void {
  if (releaseFault(found, release) === undefined) return;
  throw new DataIntegrityError({
    file: found.file,
    expected: release.sha256 ?? "",
    found: found.sha256,
    fix: `The file was edited or is another release: ${getOfficial(release)}.`,
  });
}

/** The fault of a file that has another checksum than the release. */
export function releaseFault(
  { file, sha256, sizeBytes }: FoundFile,
  release: DatasetFile,
): DatasetFault | undefined {
  if (release.sha256 === undefined || release.sha256 === sha256) return undefined;
  const size = release.sizeBytes === undefined ? "" : `, ${release.sizeBytes} bytes`;
  return {
    file,
    field: "",
    value: `sha256 ${sha256}, ${sizeBytes} bytes`,
    problem: `is not the official file (sha256 ${release.sha256}${size})`,
    fix: getOfficial(release),
  };
}
