// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, readReport, rolesOf, selectedPair, sum } from '../static/app/stats.js';

/** @typedef {import('../static/app/stats.js').Role} Role */

/**
 * What a browser has counted after some seconds of a call: 40 kbit/s of sound and 800 kbit/s of picture come in, 32 and 400 go out, one packet of a hundred is lost
 * on the way here.
 * @param {number} seconds
 */
function counters(seconds) {
  return {
    timestamp: 1_700_000_000_000 + seconds * 1000,
    soundIn: { bytesReceived: 5_000 * seconds, packetsReceived: 49.5 * seconds, packetsLost: 0.5 * seconds },
    pictureIn: { bytesReceived: 100_000 * seconds, packetsReceived: 99 * seconds, packetsLost: seconds, framesDecoded: 20 * seconds },
    soundOut: { bytesSent: 4_000 * seconds, packetsSent: 50 * seconds },
    pictureOut: { bytesSent: 50_000 * seconds, packetsSent: 50 * seconds, framesEncoded: 15 * seconds },
  };
}

/** As Chromium reports. @param {number} seconds */
function chromium(seconds) {
  const { timestamp, soundIn, pictureIn, soundOut, pictureOut } = counters(seconds);
  return report([
    { id: 'T01', type: 'transport', selectedCandidatePairId: 'CP2', dtlsState: 'connected' },
    { id: 'CP1', type: 'candidate-pair', nominated: false, state: 'waiting' },
    { id: 'CP2', type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.012 },
    { id: 'CIT01_111', type: 'codec', mimeType: 'audio/opus' }, { id: 'CIT01_96', type: 'codec', mimeType: 'video/VP8' },
    { id: 'IT01A1', type: 'inbound-rtp', kind: 'audio', mid: '0', trackIdentifier: 'ra', codecId: 'CIT01_111', jitter: 0.004, ...soundIn },
    { id: 'IT01V1', type: 'inbound-rtp', kind: 'video', mid: '1', trackIdentifier: 'rv', codecId: 'CIT01_96', jitter: 0.008, frameWidth: 640, frameHeight: 360, framesPerSecond: 20, ...pictureIn },
    { id: 'SA1', type: 'media-source', kind: 'audio', trackIdentifier: 'la' }, { id: 'SV2', type: 'media-source', kind: 'video', trackIdentifier: 'lv' },
    { id: 'OT01A1', type: 'outbound-rtp', kind: 'audio', mid: '0', mediaSourceId: 'SA1', codecId: 'CIT01_111', ...soundOut },
    { id: 'OT01V1', type: 'outbound-rtp', kind: 'video', mid: '1', mediaSourceId: 'SV2', codecId: 'CIT01_96', frameWidth: 320, frameHeight: 180, framesPerSecond: 15, qualityLimitationReason: 'bandwidth', ...pictureOut },
    { id: 'RIV1', type: 'remote-inbound-rtp', kind: 'video', localId: 'OT01V1', packetsLost: 9, fractionLost: 0.03, jitter: 0.002, roundTripTime: 0.02 },
  ], timestamp);
}

/** As Firefox reports: no quality limitation, the pair without a round trip. @param {number} seconds */
function firefox(seconds) {
  const { timestamp, soundIn, pictureIn, soundOut, pictureOut } = counters(seconds);
  return report([
    { id: '2f', type: 'candidate-pair', nominated: true, selected: true, state: 'succeeded' },
    { id: 'c1', type: 'codec', mimeType: 'audio/opus' }, { id: 'c2', type: 'codec', mimeType: 'video/VP9' },
    { id: 'a1', type: 'inbound-rtp', kind: 'audio', mediaType: 'audio', mid: '0', trackIdentifier: '{ra}', codecId: 'c1', jitter: 0.004, ...soundIn },
    { id: 'b1', type: 'inbound-rtp', kind: 'video', mediaType: 'video', mid: '1', trackIdentifier: '{rv}', codecId: 'c2', jitter: 0.008, frameWidth: 640, frameHeight: 360, framesPerSecond: 20, ...pictureIn },
    { id: 'd1', type: 'outbound-rtp', kind: 'audio', mediaType: 'audio', mid: '0', codecId: 'c1', remoteId: 'r1', ...soundOut },
    { id: 'e1', type: 'outbound-rtp', kind: 'video', mediaType: 'video', mid: '1', codecId: 'c2', remoteId: 'r2', frameWidth: 320, frameHeight: 180, framesPerSecond: 15, ...pictureOut },
    { id: 'r1', type: 'remote-inbound-rtp', kind: 'audio', localId: 'd1', packetsLost: 0, fractionLost: 0.03, jitter: 0.002, roundTripTime: 0.012 },
  ], timestamp);
}

/** As Safari 16 reports: no mids, no frame rate of what is sent, no fraction of what is lost. @param {number} seconds */
function safari(seconds) {
  const { timestamp, soundIn, pictureIn, soundOut, pictureOut } = counters(seconds);
  return report([
    { id: 'RTCTransport_0_1', type: 'transport', selectedCandidatePairId: 'P' },
    { id: 'P', type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.012 },
    { id: 'C1', type: 'codec', mimeType: 'audio/opus' }, { id: 'C2', type: 'codec', mimeType: 'video/H264' },
    { id: 'I1', type: 'inbound-rtp', kind: 'audio', trackIdentifier: 'ra', codecId: 'C1', jitter: 0.004, ...soundIn },
    { id: 'I2', type: 'inbound-rtp', kind: 'video', trackIdentifier: 'rv', codecId: 'C2', jitter: 0.008, frameWidth: 640, frameHeight: 360, ...pictureIn },
    { id: 'M1', type: 'media-source', kind: 'audio', trackIdentifier: 'la' }, { id: 'M2', type: 'media-source', kind: 'video', trackIdentifier: 'lv' },
    { id: 'O1', type: 'outbound-rtp', kind: 'audio', mediaSourceId: 'M1', codecId: 'C1', ...soundOut },
    { id: 'O2', type: 'outbound-rtp', kind: 'video', mediaSourceId: 'M2', codecId: 'C2', frameWidth: 320, frameHeight: 180, ...pictureOut },
    { id: 'R2', type: 'remote-inbound-rtp', kind: 'video', localId: 'O2', packetsLost: 2 * seconds, jitter: 0.002 },
  ], timestamp);
}

/** @param {any[]} entries @param {number} timestamp */
function report(entries, timestamp) {
  return new Map(entries.map((entry) => [entry.id, { timestamp, ...entry }]));
}

/** @type {Map<string, Role>} */
const ROLES = new Map([['0', 'audio'], ['1', 'video'], ['ra', 'audio'], ['rv', 'video'], ['la', 'audio'], ['lv', 'video']]);

const BROWSERS = [
  { name: 'Chromium', make: chromium, codec: 'VP8', limitation: 'bandwidth', lossOut: 0.03 },
  { name: 'Firefox', make: firefox, codec: 'VP9', limitation: null, lossOut: 0.03 },
  { name: 'Safari', make: safari, codec: 'H264', limitation: null, lossOut: 0.04 },
];
for (const { name, make, codec, limitation, lossOut } of BROWSERS) {
  test(`${name}: what has happened between two reports`, () => {
    const numbers = compare(readReport(make(10), ROLES), readReport(make(12), ROLES));
    assert.deepEqual(numbers, {
      in: {
        bitrate: 840_000, loss: 0.01, jitter: 8,
        flows: {
          audio: { bitrate: 40_000, codec: 'opus', limitation: null, picture: null },
          video: { bitrate: 800_000, codec, limitation: null, picture: { width: 640, height: 360, rate: 20 } },
        },
      },
      out: {
        bitrate: 432_000, loss: lossOut, jitter: 2,
        flows: {
          audio: { bitrate: 32_000, codec: 'opus', limitation: null, picture: null },
          video: { bitrate: 400_000, codec, limitation, picture: { width: 320, height: 180, rate: 15 } },
        },
      },
      roundTrip: 12,
    });
  });
}

test('the first report tells no rates, but what there is', () => {
  const { in: incoming, out } = compare({ streams: new Map(), roundTrip: null }, readReport(safari(10), ROLES));
  assert.deepEqual([incoming.bitrate, out.bitrate, incoming.loss], [null, null, null]);
  assert.deepEqual(incoming.flows.video, { bitrate: null, codec: 'H264', limitation: null, picture: { width: 640, height: 360, rate: null } });
});

test('an empty report tells nothing', () => {
  const nothing = readReport(new Map(), ROLES);
  const side = { bitrate: null, loss: null, jitter: null, flows: {} };
  assert.deepEqual(compare(nothing, nothing), { in: side, out: side, roundTrip: null });
});

/** @param {object} before @param {object} after */
function stream(before, after) {
  const entry = { id: 'x', type: 'inbound-rtp', kind: 'audio' };
  return compare(readReport(report([{ ...entry, ...before }], 1_000), ROLES), readReport(report([{ ...entry, ...after }], 2_000), ROLES)).in;
}

const COUNTERS = [
  { name: 'a counter that began anew', before: { bytesReceived: 900, packetsReceived: 9, packetsLost: 0 }, after: { bytesReceived: 100, packetsReceived: 1, packetsLost: 0 }, bitrate: null, loss: null },
  { name: 'a packet thought lost that came', before: { packetsReceived: 9, packetsLost: 1 }, after: { packetsReceived: 19, packetsLost: 0 }, bitrate: null, loss: 0 },
  { name: 'nothing came', before: { bytesReceived: 5, packetsReceived: 9, packetsLost: 1 }, after: { bytesReceived: 5, packetsReceived: 9, packetsLost: 1 }, bitrate: 0, loss: null },
  { name: 'all was lost', before: { packetsReceived: 9, packetsLost: 1 }, after: { packetsReceived: 9, packetsLost: 6 }, bitrate: null, loss: 1 },
  { name: 'the same moment', before: { bytesReceived: 5, timestamp: 2_000 }, after: { bytesReceived: 9, timestamp: 2_000 }, bitrate: null, loss: null },
  { name: 'no numbers', before: { bytesReceived: 'many' }, after: { bytesReceived: NaN }, bitrate: null, loss: null },
];
for (const { name, before, after, bitrate, loss } of COUNTERS) {
  test(`counters: ${name}`, () => {
    const side = stream(before, after);
    assert.deepEqual([side.bitrate, side.loss], [bitrate, loss]);
  });
}

test('a screen is told from the camera, with its sound, and a stream that has ended does not speak for it', () => {
  const transceiver = (/** @type {string} */ mid, /** @type {string} */ kind) => /** @type {any} */ ({
    mid, receiver: { track: { kind, id: `in ${mid}` } }, sender: { track: mid === '2' ? null : { id: `out ${mid}` } },
  });
  const roles = rolesOf([transceiver('0', 'audio'), transceiver('1', 'video'), transceiver('2', 'video'), transceiver('3', 'audio'), transceiver('4', 'video')]);
  assert.deepEqual([...roles].filter(([id]) => /^\d$/.test(id)), [['0', 'audio'], ['1', 'video'], ['2', 'screen'], ['3', 'screen'], ['4', 'screen']]);
  assert.deepEqual([roles.get('out 2'), roles.get('out 4'), roles.get('in 2')], [undefined, 'screen', 'screen']);
  const make = (/** @type {number} */ seconds) => report([
    { id: 'old', type: 'outbound-rtp', kind: 'video', mid: '2', bytesSent: 9_000, frameWidth: 800, frameHeight: 600 },
    { id: 'sound', type: 'outbound-rtp', kind: 'audio', mid: '3', bytesSent: 1_000 * seconds },
    { id: 'new', type: 'outbound-rtp', kind: 'video', mid: '4', bytesSent: 10_000 * seconds, frameWidth: 1920, frameHeight: 1080, framesPerSecond: 5 },
  ], seconds * 1_000);
  const { flows } = compare(readReport(make(1), roles), readReport(make(2), roles)).out;
  assert.deepEqual(flows, { screen: { bitrate: 88_000, codec: null, limitation: null, picture: { width: 1920, height: 1080, rate: 5 } } });
});

const PAIRS = [
  { name: 'named by the transport', entries: [{ id: 't', type: 'transport', selectedCandidatePairId: 'b' }, { id: 'a', type: 'candidate-pair', nominated: true, state: 'succeeded' }, { id: 'b', type: 'candidate-pair' }], id: 'b' },
  { name: 'marked as selected', entries: [{ id: 'a', type: 'candidate-pair', state: 'succeeded' }, { id: 'b', type: 'candidate-pair', selected: true }], id: 'b' },
  { name: 'nominated before another one was selected', entries: [{ id: 'a', type: 'candidate-pair', selected: true }, { id: 'b', type: 'candidate-pair', nominated: true, selected: false, state: 'succeeded' }], id: 'a' },
  { name: 'nominated by a browser that marks no other way', entries: [{ id: 'a', type: 'candidate-pair', nominated: true, state: 'succeeded' }, { id: 'b', type: 'candidate-pair', state: 'succeeded' }], id: 'a' },
  { name: 'nominated, but not there yet', entries: [{ id: 'a', type: 'candidate-pair', nominated: true, state: 'in-progress' }], id: undefined },
];
for (const { name, entries, id } of PAIRS) {
  test(`the pair in use: ${name}`, () => assert.equal(selectedPair(report(entries, 0))?.id, id));
}

test('sums are of what is known', () => {
  assert.deepEqual([sum([1, null, 2]), sum([null]), sum([]), sum([0])], [3, null, null, 0]);
});
