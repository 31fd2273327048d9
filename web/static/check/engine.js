// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { StartError } from './api.js';
import { gather, newGathering } from './gather.js';
import { measureLoop, newLoop } from './loop.js';
import { judgeNAT, probeNAT } from './nat.js';
import { targetsOf } from './servers.js';

/** @typedef {import('./api.js').CheckAPI} CheckAPI */
/** @typedef {import('./api.js').Listener} Listener */
/** @typedef {import('./api.js').ServerSide} ServerSide */
/** @typedef {import('./gather.js').Gathering} Gathering */
/** @typedef {import('./loop.js').Loop} Loop */
/** @typedef {import('./nat.js').NAT} NAT */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {{target: Target, gathering: Gathering, loop: Loop | null}} Path `loop` is null until its turn has come */
/** @typedef {'starting' | 'gathering' | 'nat' | 'measuring' | 'asking' | 'done' | 'stopped' | 'failed'} Phase */
/**
 * @typedef {object} CheckOptions
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {import('../../sdk/maitred.js').Clock} clock
 * @property {CheckAPI | null} api null for servers other than the own
 * @property {Target[]} [targets] those servers
 */

/** Gathering measures nothing that others disturb, but a server may mind a crowd. */
const AT_ONCE = 4;
const ASK_EVERY = 1_000;

/**
 * One run of all tests: its state can be read at any time, events say what has changed.
 * @extends {Emitter<{phase: {}, path: {path: Path}, nat: {}, server: {}}>}
 */
export class Check extends Emitter {
  #options;
  #over = new AbortController();
  #id = '';
  #polling = false;
  #cancelAsking = () => {};
  /** @type {Phase} */
  phase = 'starting';
  /** @type {StartError | null} */
  problem = null;
  /** @type {Path[]} */
  paths = [];
  /** @type {NAT | null} */
  nat = null;
  /** @type {Listener[]} */
  listeners = [];
  /** The server's side, null while it has not told. @type {ServerSide | null} */
  server = null;
  /** The path whose turn it is, null between. @type {Path | null} */
  current = null;

  /** @param {CheckOptions} options */
  constructor(options) {
    super();
    this.#options = options;
  }

  get own() {
    return this.#options.api !== null;
  }

  get over() {
    return this.phase === 'done' || this.phase === 'stopped' || this.phase === 'failed';
  }

  stop() {
    this.#over.abort();
  }

  /** Runs to the end; it never rejects. */
  async run() {
    await this.#runAll();
    // Without an answer it ends by itself.
    if (this.#id) await this.#options.api?.end(this.#id).catch(() => {});
  }

  async #runAll() {
    try {
      await this.#start();
      await this.#gatherAll();
      await this.#judge();
      await this.#measureAll();
      this.#endPolling();
      this.#become('asking');
      await this.#ask();
      this.#become(this.#over.signal.aborted ? 'stopped' : 'done');
    } catch (error) {
      this.#endPolling();
      this.problem = error instanceof StartError ? error : new StartError('unexpected');
      if (!(error instanceof StartError)) console.error(error);
      this.#become(this.#over.signal.aborted ? 'stopped' : 'failed');
    }
  }

  /** @param {Phase} phase */
  #become(phase) {
    if (this.#over.signal.aborted && phase !== 'stopped') return;
    this.phase = phase;
    this.emit('phase', {});
  }

  async #start() {
    this.#become('starting');
    const { api, targets = [] } = this.#options;
    let all = targets;
    if (api) {
      const started = await api.start(this.#over.signal);
      this.#id = started.id;
      this.listeners = started.listeners;
      all = targetsOf(started.iceServers);
      this.#polling = true;
      this.#askLater();
    }
    this.paths = all.map((target) => ({ target, gathering: newGathering(), loop: null }));
  }

  #askLater() {
    const again = () => {
      if (this.#polling) this.#askLater();
    };
    this.#cancelAsking = this.#options.clock.after(ASK_EVERY, () => void this.#ask().then(again));
  }

  #endPolling() {
    this.#polling = false;
    this.#cancelAsking();
  }

  async #ask() {
    const { api } = this.#options;
    if (!api || this.#over.signal.aborted) return;
    try {
      this.server = await api.side(this.#id, this.#over.signal);
      this.emit('server', {});
    } catch (error) {
      // The browser's half stands without it, and the page says that the server's is missing.
      if (!(error instanceof StartError)) console.error(error);
    }
  }

  async #gatherAll() {
    this.#become('gathering');
    const { createConnection, clock } = this.#options;
    const waiting = [...this.paths];
    const worker = async () => {
      for (let path = waiting.shift(); path; path = waiting.shift()) {
        const mine = path;
        mine.gathering = await gather({
          target: mine.target, createConnection, clock, signal: this.#over.signal,
          report: (gathering) => {
            mine.gathering = gathering;
            this.emit('path', { path: mine });
          },
        });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async #judge() {
    this.#become('nat');
    const { createConnection, clock } = this.#options;
    const answered = this.paths.filter(({ gathering }) => gathering.outcome === 'answered');
    const overUDP = answered.filter(({ target }) => target.transport === 'udp');
    const probed = await probeNAT({ targets: overUDP.map(({ target }) => target), createConnection, clock, signal: this.#over.signal });
    if (this.#over.signal.aborted) return;
    this.nat = judgeNAT({
      tried: this.paths.some(({ target }) => target.transport === 'udp'), reached: overUDP.length > 0 || this.paths.some(answeredWithRefusal),
      elsewhere: answered.length > overUDP.length,
      candidates: [...overUDP.flatMap(({ gathering }) => gathering.candidates), ...probed.candidates], seen: probed.seen,
    });
    this.emit('nat', {});
  }

  /** One after the other: two at once would measure each other. */
  async #measureAll() {
    const { createConnection, clock } = this.#options;
    for (const path of this.paths) {
      const relayed = path.target.kind === 'turn' && path.gathering.outcome === 'answered';
      if (!relayed || this.#over.signal.aborted) continue;
      this.current = path;
      path.loop = newLoop();
      this.#become('measuring');
      await measureLoop({
        target: path.target, createConnection, clock, signal: this.#over.signal,
        report: (loop) => {
          path.loop = loop;
          this.emit('path', { path });
        },
      });
    }
    this.current = null;
  }
}

/** @param {Path} path */
function answeredWithRefusal({ target, gathering }) {
  return target.transport === 'udp' && gathering.outcome === 'refused';
}
