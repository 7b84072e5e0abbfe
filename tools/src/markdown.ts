/** A piece of a document with the line, from 1, on which it begins. */
export interface MarkdownPiece {
  readonly line: number;
  readonly text: string;
}

/** Code of a document: a line of a fenced block, or a span in backticks. */
export interface MarkdownCode extends MarkdownPiece {
  readonly isBlock: boolean;
}

/** The code and the targets of links and images of a Markdown text. Comments are left out. */
export function parseMarkdown(text: string): {
  readonly codes: readonly MarkdownCode[];
  readonly links: readonly MarkdownPiece[];
} {
  const codes: MarkdownCode[] = [];
  const links: MarkdownPiece[] = [];
  let fence: string | undefined;
  for (const [index, content] of blankComments(text).split("\n").entries()) {
    const line = index + 1;
    const marker = /^\s*(`{3,}|~{3,})/.exec(content)?.[1];
    if (fence !== undefined) {
      if (marker?.startsWith(fence) === true) fence = undefined;
      else codes.push({ line, text: content, isBlock: true });
    } else if (marker !== undefined) {
      fence = marker;
    } else {
      for (const [, code = ""] of content.matchAll(/`([^`]+)`/g))
        codes.push({ line, text: code, isBlock: false });
      const prose = content.replaceAll(/`[^`]+`/g, "code");
      for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g))
        links.push({ line, text: target });
    }
  }
  return { codes, links };
}

/** Empties comments but keeps their line ends, so that line numbers stay right. */
function blankComments(text: string): string {
  return text.replaceAll(/<!--.*?-->/gs, (comment) => comment.replaceAll(/[^\n]/g, ""));
}
