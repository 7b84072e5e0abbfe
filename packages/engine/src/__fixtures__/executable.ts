import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes a program that stands in for Python, as a shell script. Returns its path. */
export async function writeShellScript(
  folder: string,
  name: string,
  body: string,
): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
  return file;
}

/** Writes a program as a Node script (CommonJS). Returns its path. */
export async function writeNodeScript(folder: string, name: string, body: string): Promise<string> {
  const script = join(folder, `${name}.cjs`);
  await writeFile(script, body);
  return writeShellScript(folder, name, `exec "${process.execPath}" "${script}" "$@"`);
}

/** The answer of a Python of this version to the launcher's question about itself. */
export function pythonAnswer(file: string, version: string, canMakeEnvironments = true): string {
  return `echo '${JSON.stringify({ executable: file, version, canMakeEnvironments })}'`;
}
