// @ts-check
import { TRANSPORT_NAMES, rounded, words } from './words.js';

/** @typedef {import('./api.js').StartError} StartError */
/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./engine.js').Phase} Phase */
/** @typedef {import('./loop.js').Loop} Loop */
/** @typedef {import('./words.js').CheckKey} CheckKey */
/** @typedef {import('./words.js').Text} Text */
/** @typedef {'running' | 'good' | 'limited' | 'broken' | 'unknown'} Level */
/**
 * @typedef {object} Verdict
 * @property {Level} level
 * @property {Text} title
 * @property {Text[]} meaning what it means for calls
 * @property {Text[]} advice what the person can do
 * @property {Text[]} operator what whoever runs the server can do
 */
/**
 * @typedef {object} Evidence
 * @property {boolean} supported this browser has WebRTC
 * @property {boolean} own it is this page's server
 * @property {Phase} phase
 * @property {Pick<StartError, 'code' | 'status' | 'seconds'> | null} problem
 * @property {Pick<Path, 'target' | 'gathering' | 'loop'>[]} paths
 */
/** @typedef {{meaning: Text, advice?: Text, operator?: Text}} Limit */

/** What a call notices. Round trips are those of the loop, which goes to the server twice. */
const LIMITS = { roundTrip: 400, jitter: 30, loss: 0.03, mbps: 1 };

/** @type {Record<Level, CheckKey>} */
const TITLES = {
  running: 'check.levelRunning', good: 'check.levelGood', limited: 'check.levelLimited', broken: 'check.levelBroken', unknown: 'check.levelUnknown',
};

/**
 * @param {Level} level
 * @param {Text[]} meaning
 * @param {Text[]} [advice]
 * @param {Text[]} [operator]
 * @returns {Verdict}
 */
function verdict(level, meaning, advice = [], operator = []) {
  return { level, title: words(TITLES[level]), meaning, advice, operator };
}

/**
 * The one answer to "will calls work?".
 * @param {Evidence} evidence
 * @returns {Verdict}
 */
export function judge({ supported, own, phase, problem, paths }) {
  if (!supported) return verdict('broken', [words('check.noWebRTC')], [words('check.noWebRTCDo')]);
  if (phase === 'stopped') return verdict('unknown', [words('check.stopped')], [words('check.stoppedDo')]);
  if (problem) return judgeProblem(problem);
  if (phase !== 'done') return verdict('running', []);
  const relays = paths.filter(({ target }) => target.kind === 'turn');
  if (relays.length === 0) return judgeStun(paths);
  const given = relays.filter(({ gathering }) => gathering.outcome === 'answered');
  if (given.length === 0) return judgeRefusals(relays, own);
  const working = given.filter(({ loop }) => loop?.state === 'measured');
  if (working.length === 0) return verdict('broken', [words('check.loopDead')], [words('check.loopDeadDo')], [words('check.loopDeadOperator')]);
  return judgeWorking(relays, working);
}

/**
 * @param {Pick<StartError, 'code' | 'status' | 'seconds'>} problem
 * @returns {Verdict}
 */
function judgeProblem({ code, status, seconds }) {
  switch (code) {
    case 'unauthorized': return verdict('unknown', [words('check.unauthorized')], [words('check.unauthorizedDo')]);
    case 'disabled': return verdict('unknown', [words('check.disabled')], [words('check.customDo')], [words('check.disabledOperator')]);
    case 'busy': return verdict('unknown', [words('check.busy')], [seconds > 0 ? words('check.busyDo', { seconds }) : words('check.busyLater')]);
    case 'no_turn': return verdict('limited', [words('check.noTurn')], [], [words('check.noTurnOperator')]);
    case 'unreachable': return verdict('broken', [words('check.unreachable')], [words('check.unreachableDo')], [words('check.unreachableOperator')]);
    default: return verdict('unknown', [words('check.unexpected', { status })], [words('check.stoppedDo')], [words('check.unexpectedOperator')]);
  }
}

/**
 * @param {Evidence['paths']} paths
 * @returns {Verdict}
 */
function judgeStun(paths) {
  if (paths.some(({ gathering }) => gathering.outcome === 'answered')) {
    return verdict('limited', [words('check.stunOnly')], [words('check.stunOnlyDo')], [words('check.noTurnOperator')]);
  }
  return verdict('broken', [words('check.stunDead')], [words('check.otherNetworkDo')]);
}

/**
 * No relay gave an address.
 * @param {Evidence['paths']} relays
 * @param {boolean} own
 * @returns {Verdict}
 */
function judgeRefusals(relays, own) {
  const codes = new Set(relays.flatMap(({ gathering }) => gathering.errors.map(({ code }) => code)));
  const refusal = [401, 486, 508, 403].find((code) => codes.has(code)) ?? [...codes].find((code) => code >= 300 && code < 700);
  switch (refusal) {
    case 401:
      return own ? verdict('broken', [words('check.refusedOwn')], [words('check.refusedOwnDo')], [words('check.refusedOwnOperator')])
        : verdict('broken', [words('check.refusedCustom')], [words('check.refusedCustomDo')]);
    case 486: return verdict('broken', [words('check.refusedQuota')], [words('check.refusedQuotaDo')], [words('check.refusedQuotaOperator')]);
    case 508: return verdict('broken', [words('check.refusedFull')], [words('check.refusedFullDo')], [words('check.refusedFullOperator')]);
    case undefined: break;
    default: return verdict('broken', [words('check.refusedOther', { code: refusal })], [], [words('check.refusedOtherOperator')]);
  }
  if (relays.every(({ gathering }) => gathering.outcome === 'unsupported' || gathering.outcome === 'invalid')) {
    return verdict('broken', [words('check.nothingUsable')], [words('check.nothingUsableDo')]);
  }
  return verdict('broken', [words('check.nothingReached')], [words('check.otherNetworkDo')], [words('check.nothingReachedOperator')]);
}

/**
 * @param {Evidence['paths']} relays
 * @param {Evidence['paths']} working those that passed every test
 * @returns {Verdict}
 */
function judgeWorking(relays, working) {
  const over = new Set(working.map(({ target }) => target.transport));
  const tried = relays.filter(({ gathering }) => gathering.outcome !== 'unsupported');
  const failed = [...new Set(tried.filter((path) => !working.includes(path)).map(({ target }) => TRANSPORT_NAMES[target.transport]))];
  /** @type {Limit[]} */
  const limits = [];
  const names = [...over].map((transport) => TRANSPORT_NAMES[transport]).join(' + ');
  if (!over.has('udp')) {
    limits.push(tried.some(({ target }) => target.transport === 'udp')
      ? { meaning: words('check.udpBlocked', { names }), advice: words('check.udpBlockedDo'), operator: words('check.udpBlockedOperator') }
      : { meaning: words('check.udpMissing', { names }), operator: words('check.udpMissingOperator') });
  } else if (failed.length > 0) {
    limits.push({ meaning: words('check.someFailed', { failed: failed.join(', ') }), operator: words('check.someFailedOperator') });
  }
  limits.push(...judgeQuality(bestLoop(working)));
  if (limits.length > 0) {
    return verdict('limited', limits.map(({ meaning }) => meaning), limits.flatMap(({ advice }) => advice ?? []), limits.flatMap(({ operator }) => operator ?? []));
  }
  const onlyUDP = over.size === 1;
  return verdict('good', [words('check.good', { names })], [], onlyUDP ? [words('check.onlyUDPOperator')] : []);
}

/** The loop that a call would take: UDP comes first. @param {Evidence['paths']} working */
function bestLoop(working) {
  const best = working.find(({ target }) => target.transport === 'udp') ?? working[0];
  return /** @type {Loop} */ (best.loop);
}

/**
 * @param {Loop} loop
 * @returns {Limit[]}
 */
function judgeQuality({ loss, p50, jitter, mbps }) {
  /** @type {Limit[]} */
  const limits = [];
  const advice = words('check.qualityDo');
  if (loss > LIMITS.loss) limits.push({ meaning: words('check.lossy', { percent: rounded(loss * 100) }), advice });
  if (p50 > LIMITS.roundTrip) {
    limits.push({ meaning: words('check.slow', { ms: rounded(p50 / 2) }), advice: words('check.slowDo'), operator: words('check.slowOperator') });
  }
  if (jitter > LIMITS.jitter) limits.push({ meaning: words('check.shaky', { ms: rounded(jitter) }), advice });
  if (mbps < LIMITS.mbps) limits.push({ meaning: words('check.narrow', { mbps: rounded(mbps) }), advice: words('check.narrowDo') });
  // The same advice once.
  return limits.map((limit, index) => limits.findIndex((it) => it.advice === limit.advice) === index ? limit : { ...limit, advice: undefined });
}
