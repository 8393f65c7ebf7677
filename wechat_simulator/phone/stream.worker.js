/* One event stream for all phones of a browser: a page of its own stream each would use up the six connections per host. */

const ports = new Set();
let source;
let last = { state: "connecting" };

function tell(message) {
  if (message.state) last = message;
  for (const port of ports) port.postMessage(message);
}

function open() {
  source = new EventSource("/_sim/events");
  source.addEventListener("hello", () => tell({ state: "open" }));
  source.addEventListener("change", (event) => tell({ change: JSON.parse(event.data) }));
  source.onerror = () => {
    tell({ state: "lost" });
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
  };
}

onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = () => ports.delete(port);
  port.postMessage(last);
  if (!source) open();
};
