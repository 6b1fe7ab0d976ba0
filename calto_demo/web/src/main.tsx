import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { serverBase } from "./config";
import { wordsOf } from "./failure";
import "./index.css";
import { Home } from "./screens/Home";
import { SignIn } from "./screens/SignIn";
import { useStore } from "./store";

function Page({ app }: { app: App }) {
  const me = useStore(app.store, (state) => state.me);
  return me ? <Home app={app} me={me} /> : <SignIn app={app} />;
}

async function main(): Promise<void> {
  const root = createRoot(document.getElementById("root")!);
  const app = new App(await serverBase(location));
  await app.start();
  root.render(
    <StrictMode>
      <Page app={app} />
    </StrictMode>,
  );
}

void main().catch((error: unknown) => {
  document.getElementById("root")!.textContent = wordsOf(error);
});
