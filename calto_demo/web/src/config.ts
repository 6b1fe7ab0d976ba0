/** Where the server is: `?server=`, else `config.json` beside the page, else where it came from. */

export async function serverBase(page: Location): Promise<string> {
  const asked = new URL(page.href).searchParams.get("server");
  const base = asked ?? (await configured());
  return serverUrl(base, page.href);
}

/** The server's URL without a slash at its end; `null` is the page's own origin. */
export function serverUrl(base: string | null, page: string): string {
  if (!base) return new URL(page).origin;
  const url = new URL(base, page);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Error(`The server ${base} must be an http: or https: address.`);
  return (url.origin + url.pathname).replace(/\/+$/, "");
}

export function socketUrl(base: string): string {
  return `${base.replace(/^http/, "ws")}/ws`;
}

async function configured(): Promise<string | null> {
  try {
    const answer = await fetch("./config.json", { cache: "no-cache" });
    return answer.ok ? ((await answer.json()).server ?? null) : null;
  } catch {
    return null;
  }
}
