/* Hearing of changes: through the shared stream, or an own one where browsers have no shared workers. */

/** `changed(kinds)` on every change, `state("open" | "lost" | "connecting")` when the connection comes or goes. */
export function listen(changed, state) {
  const take = (message) => {
    if (message.change) changed(message.change.kinds);
    else state(message.state);
  };
  if (window.SharedWorker) {
    const worker = new SharedWorker(new URL("stream.worker.js", import.meta.url), { name: "simulator-events" });
    worker.port.onmessage = (event) => take(event.data);
    worker.port.start();
    addEventListener("pagehide", () => worker.port.postMessage("bye"));
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    return;
  }
  const open = () => {
    const source = new EventSource("/_sim/events");
    source.addEventListener("hello", () => take({ state: "open" }));
    source.addEventListener("change", (event) => take({ change: JSON.parse(event.data) }));
    source.onerror = () => {
      take({ state: "lost" });
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    };
  };
  open();
}
