/** `pnpm docs:check`: no document names a file, script or command that does not exist. Exit code 1 if one does. */
import { findDocumentProblems } from "./documents.ts";
import { repositoryRoot } from "./repository.ts";

const { documents, problems } = findDocumentProblems(repositoryRoot);
for (const { document, line, message } of problems)
  console.error(`${document}:${line}: ${message}`);
console.log(`docs: ${documents.length} documents, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
