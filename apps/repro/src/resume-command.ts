/**
 * What the user types to go on with a run; a path with odd characters is quoted for a POSIX shell. All else that the
 * run was started with is kept in its folder.
 */
export function resumeCommandFor(run: string, flags: { readonly out?: string }): string {
  const words = ["pnpm", "repro", "resume", run];
  if (flags.out !== undefined) words.push("--out", flags.out);
  return words.map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
