/* One run's events from the server: a single stream that closes when nobody looks and resumes where it stopped. */

const LOST_AFTER = 5000; // the browser reconnects by itself; only a longer silence is worth a banner
const EVENTS = ["state", "resume", "metric", "sample", "evaluation", "probe", "progress", "health", "checkpoint", "log"];

export class Live {
  /* on: { event, status, worker, end, lost, back } */
  constructor(url, after, on) {
    Object.assign(this, { url, after, on });
    this.source = null;
    this.over = false;
    this.paused = false;
    this.timer = null;
    document.addEventListener("visibilitychange", () => this.follow());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.follow());
  }

  /* Opens or closes the stream so that it is open exactly while somebody can see it. */
  follow() {
    const wanted = !this.over && !this.paused && !document.hidden;
    if (wanted && !this.source) this.open();
    if (!wanted && this.source) this.close();
  }

  open() {
    const source = new EventSource(`${this.url}?after=${this.after}`);
    const hear = (name, what) =>
      source.addEventListener(name, (message) => {
        if (source === this.source && typeof message.data === "string") what(JSON.parse(message.data));
      });
    this.source = source;
    source.onopen = () => this.back();
    source.onerror = () => this.trouble(source);
    for (const kind of EVENTS) hear(kind, (event) => this.take(event));
    hear("status", this.on.status);
    hear("worker", this.on.worker);
    hear("end", (event) => this.end(event));
  }

  close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.timer = null;
  }

  take(event) {
    if (event.seq <= this.after) return; // a replay after a reconnect
    this.after = event.seq;
    this.on.event(event);
  }

  /* The last thing said; without a number it is the service's own verdict about a run that has none. */
  end(event) {
    if (event.seq) this.after = event.seq;
    this.over = true;
    this.close();
    this.on.end(event.what?.state ?? event.state);
  }

  trouble(source) {
    if (source !== this.source || this.over) return;
    if (source.readyState === EventSource.CLOSED) {
      // refused rather than interrupted: the browser does not try again, so we do, less often
      this.close();
      this.on.lost();
      this.timer = setTimeout(() => this.follow(), 2 * LOST_AFTER);
    } else if (!this.timer) {
      this.timer = setTimeout(() => this.on.lost(), LOST_AFTER);
    }
  }

  back() {
    clearTimeout(this.timer);
    this.timer = null;
    this.on.back();
  }
}
