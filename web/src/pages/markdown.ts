/**
 * The little Markdown that articles and agents write: paragraphs, lists, headings, bold, emphasis, code, links. Pure: a tree, not
 * markup, so nothing that somebody wrote can become an element of its own.
 */

export type Inline =
  | { kind: "text" | "bold" | "emphasis" | "code"; text: string }
  | { kind: "link"; text: string; href: string };

export type Block =
  | { kind: "paragraph" | "heading"; inline: Inline[] }
  | { kind: "list"; ordered: boolean; items: Inline[][] };

const BULLET = /^\s*[-*]\s+(.*)$/;
const NUMBER = /^\s*\d+[.)]\s+(.*)$/;
const HEADING = /^#{1,4}\s+(.*)$/;
/** Bold, code, a link, emphasis; the rest is text. An asterisk beside a letter or a space, as in 2*3*4, emphasises nothing. */
const INLINE = /\*\*([^*]+)\*\*|`([^`]+)`|\[([^\]]+)\]\(([^()\s]+)\)|(?<![\p{L}\p{N}*])\*([^\s*](?:[^*]*[^\s*])?)\*(?![\p{L}\p{N}*])/gu;
/** Where links may lead: elsewhere in the arcade, and to web pages. */
const SAFE = /^(https?:\/\/|#\/)/;

export function blocks(text: string): Block[] {
  const found: Block[] = [];
  for (const part of text.replace(/\r/g, "").split(/\n\s*\n/)) {
    let paragraph: string[] = [];
    const flush = () => {
      if (paragraph.length > 0) found.push({ kind: "paragraph", inline: inline(paragraph.join(" ")) });
      paragraph = [];
    };
    for (const line of part.split("\n").filter((line) => line.trim() !== "")) {
      const heading = HEADING.exec(line)?.[1];
      const bullet = BULLET.exec(line)?.[1];
      const item = bullet ?? NUMBER.exec(line)?.[1];
      const last = found[found.length - 1];
      if (heading !== undefined) {
        flush();
        found.push({ kind: "heading", inline: inline(heading) });
      } else if (item !== undefined) {
        flush();
        const open = found[found.length - 1];
        const ordered = bullet === undefined;
        if (open?.kind === "list" && open.ordered === ordered) open.items.push(inline(item));
        else found.push({ kind: "list", ordered, items: [inline(item)] });
      } else if (paragraph.length === 0 && last?.kind === "list" && /^\s+/.test(line)) {
        last.items[last.items.length - 1]!.push(...inline(` ${line.trim()}`));
      } else {
        paragraph.push(line.trim());
      }
    }
    flush();
  }
  return found;
}

function inline(text: string): Inline[] {
  const found: Inline[] = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > from) found.push({ kind: "text", text: text.slice(from, match.index) });
    const [whole, bold, code, label, href, emphasis] = match;
    if (bold !== undefined) found.push({ kind: "bold", text: bold });
    else if (code !== undefined) found.push({ kind: "code", text: code });
    else if (emphasis !== undefined) found.push({ kind: "emphasis", text: emphasis });
    else if (label !== undefined && href !== undefined && SAFE.test(href)) found.push({ kind: "link", text: label, href });
    else found.push({ kind: "text", text: whole });
    from = match.index + whole.length;
  }
  if (from < text.length) found.push({ kind: "text", text: text.slice(from) });
  return found;
}
