import type { ContextItem } from "@memory-r1/spec";

/** A block of core memory as the lines of its text; each line knows the turns that it stems from. */
export type CoreBlock = readonly ContextItem[];

/** When something is written, and in the step of which turns. */
export type WritingStep = Omit<ContextItem, "text">;

export function blockText(block: CoreBlock): string {
  return block.map(({ text }) => text).join("\n");
}

/** Length in characters as a reader counts them (code points), which is what block limits count. */
export function countCharacters(text: string): number {
  return Array.from(text).length;
}

/** The content on new lines below the block's. */
export function appendToBlock(block: CoreBlock, content: string, step: WritingStep): CoreBlock {
  return [...block, ...content.split("\n").map((text) => ({ text, ...step }))];
}

/**
 * Every occurrence of the old content by the new one; undefined where there is none. A line that is touched stems from
 * the turns that it stemmed from before and from those of this step; lines that the old content spans become one first.
 */
export function replaceInBlock(
  block: CoreBlock,
  oldContent: string,
  newContent: string,
  step: WritingStep,
): CoreBlock | undefined {
  if (oldContent === "" || !blockText(block).includes(oldContent)) return undefined;
  return groupsSpannedBy(block, oldContent).flatMap((lines) => {
    const text = blockText(lines);
    if (!text.includes(oldContent)) return lines;
    const sourceTurnIds = [
      ...new Set([...lines.flatMap((line) => line.sourceTurnIds), ...step.sourceTurnIds]),
    ];
    return text
      .replaceAll(oldContent, () => newContent)
      .split("\n")
      .map((line) => ({ text: line, date: step.date, sourceTurnIds }));
  });
}

/** The block's lines in groups, cut at the line ends that no occurrence of the content goes over. */
function groupsSpannedBy(block: CoreBlock, content: string): readonly CoreBlock[] {
  const text = blockText(block);
  const spanned = new Set<number>();
  for (let at = text.indexOf(content); at >= 0; at = text.indexOf(content, at + content.length)) {
    for (let offset = at; offset < at + content.length; offset++) spanned.add(offset);
  }
  const groups: ContextItem[][] = [];
  let lineStart = 0;
  for (const line of block) {
    const group = groups.at(-1);
    if (group !== undefined && spanned.has(lineStart - 1)) group.push(line);
    else groups.push([line]);
    lineStart += line.text.length + 1;
  }
  return groups;
}
