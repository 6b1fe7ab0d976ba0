/** "Ada Lovelace" → "AL", "ada" → "A". By code points, so that no letter is cut in two. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const picked = words.length > 1 ? [words[0]!, words.at(-1)!] : words;
  return picked.map((word) => [...word][0]!.toUpperCase()).join("") || "?";
}
