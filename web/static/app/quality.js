// @ts-check

/** @typedef {import('./devices.js').Quality} Quality */
/** @typedef {import('./devices.js').ScreenContent} ScreenContent */
/**
 * @typedef {object} Plan what one sender may use
 * @property {number} bitrate in bits per second
 * @property {number} lines the shorter side of the picture, in pixels, at most
 * @property {number} frameRate per second, at most
 * @property {RTCDegradationPreference} degradation what to keep when there is not enough for all
 * @property {string} codec MIME type of the codec to prefer among those that were negotiated; '' for the browser's choice
 */
/** @typedef {readonly [peers: number, bitrate: number, lines: number, frameRate: number]} Row for up to so many peers */

/** @type {Record<Quality | 'low', MediaTrackConstraints>} low: of a link that asks for it, for tests and for old machines */
const CAMERA = {
  auto: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
  saver: { width: { ideal: 320 }, height: { ideal: 240 }, frameRate: { ideal: 15, max: 15 } },
  high: { width: { ideal: 1920 }, height: { ideal: 1080 }, frameRate: { ideal: 30, max: 30 } },
  low: { width: { ideal: 320 }, height: { ideal: 240 }, frameRate: { ideal: 10, max: 15 } },
};

/**
 * In a mesh everybody encodes and sends one copy for everybody else, and decodes one from each: time and upload for each of them
 * shrink with their number. Six people are five peers.
 * @type {Record<Quality, readonly Row[]>}
 */
const CAMERA_ROWS = {
  auto: [[1, 2_500_000, 720, 30], [2, 1_200_000, 540, 30], [3, 800_000, 360, 30], [4, 500_000, 360, 24], [5, 400_000, 270, 20],
    [7, 300_000, 240, 15], [Infinity, 200_000, 180, 15]],
  high: [[1, 4_000_000, 1080, 30], [2, 1_800_000, 720, 30], [3, 1_200_000, 540, 30], [4, 900_000, 540, 24], [5, 700_000, 360, 24],
    [7, 500_000, 360, 20], [Infinity, 300_000, 270, 15]],
  saver: [[3, 200_000, 240, 15], [7, 120_000, 180, 12], [Infinity, 80_000, 180, 10]],
};

/**
 * Text stays sharp and moves less; a film moves and gets smaller.
 * @type {Record<ScreenContent, readonly Row[]>}
 */
const SCREEN_ROWS = {
  text: [[1, 3_000_000, 1440, 15], [2, 2_000_000, 1440, 12], [3, 1_500_000, 1080, 10], [5, 1_200_000, 1080, 8], [Infinity, 800_000, 1080, 5]],
  video: [[1, 4_000_000, 1080, 30], [3, 2_000_000, 720, 24], [5, 1_200_000, 540, 20], [Infinity, 700_000, 480, 15]],
};
/** Half the bits for a screen where data is to be saved. */
const SCREEN_SAVER = 0.5;
/** VP9 draws text better with fewer bits and takes more time: one copy or two, not five. */
const SCREEN_CODEC = 'video/VP9';
const SCREEN_CODEC_PEERS = 2;
/** What is listed among the codecs and repairs what others lose. */
const REPAIR = /\/(rtx|red|ulpfec|flexfec)/i;

/**
 * @param {Quality | 'low'} quality
 * @param {string} [id] of the camera; without one it is the one that looks at the person, where there are two
 * @returns {MediaTrackConstraints}
 */
export function cameraConstraints(quality, id = '') {
  return { ...CAMERA[quality], ...(id ? { deviceId: { exact: id } } : { facingMode: 'user' }) };
}

/**
 * What the camera may use towards each of the others.
 * @param {number} peers
 * @param {Quality} quality
 * @returns {Plan}
 */
export function cameraPlan(peers, quality) {
  return { ...read(CAMERA_ROWS[quality], peers), degradation: 'balanced', codec: '' };
}

/**
 * What a shared screen may use towards each of the others.
 * @param {number} peers
 * @param {Quality} quality
 * @param {ScreenContent} content
 * @returns {Plan}
 */
export function screenPlan(peers, quality, content) {
  const row = read(SCREEN_ROWS[content], peers);
  return {
    ...row, bitrate: quality === 'saver' ? row.bitrate * SCREEN_SAVER : row.bitrate,
    degradation: content === 'text' ? 'maintain-resolution' : 'balanced', codec: peers <= SCREEN_CODEC_PEERS ? SCREEN_CODEC : '',
  };
}

/**
 * @param {readonly Row[]} rows
 * @param {number} peers
 */
function read(rows, peers) {
  const [, bitrate, lines, frameRate] = rows.find(([most]) => peers <= most) ?? rows[rows.length - 1];
  return { bitrate, lines, frameRate };
}

/** @typedef {Pick<RTCRtpCodecParameters, 'mimeType' | 'clockRate' | 'channels' | 'sdpFmtpLine'>} Codec */
/** @typedef {RTCRtpEncodingParameters & {codec?: Codec}} Encoding `codec` is newer than the types */

/**
 * Writes the plan into a sender's parameters.
 * @param {RTCRtpSendParameters} parameters of getParameters
 * @param {Plan} plan
 * @param {{width?: number, height?: number}} size of the track; without one nothing is scaled
 * @returns {boolean} whether anything is other than it was
 */
export function planParameters(parameters, plan, { width = 0, height = 0 }) {
  const before = JSON.stringify(parameters);
  const scale = Math.max(1, Math.min(width, height) / plan.lines);
  const codecs = parameters.codecs ?? [];
  const codec = codecs.find((it) => isPlain(it, plan.codec));
  const usual = codecs.find(({ mimeType }) => mimeType !== SCREEN_CODEC && !REPAIR.test(mimeType));
  for (const encoding of /** @type {Encoding[]} */ (parameters.encodings ?? [])) {
    encoding.maxBitrate = plan.bitrate;
    encoding.maxFramerate = plan.frameRate;
    encoding.scaleResolutionDownBy = Math.round(scale * 100) / 100;
    const present = encoding.codec?.mimeType;
    if (codec && present !== codec.mimeType) encoding.codec = asCodec(codec);
    // Without one the browser would stay with the last.
    else if (!codec && present === SCREEN_CODEC && usual) encoding.codec = asCodec(usual);
  }
  parameters.degradationPreference = plan.degradation;
  return JSON.stringify(parameters) !== before;
}

/**
 * VP9 has profiles that few decode in hardware or at all; the first is what everybody has.
 * @param {Codec} codec
 * @param {string} wanted MIME type
 */
function isPlain({ mimeType, sdpFmtpLine = '' }, wanted) {
  return mimeType.toLowerCase() === wanted.toLowerCase() && !/profile-id=[1-9]/.test(sdpFmtpLine);
}

/**
 * The codec without its payload type, which an encoding does not take.
 * @param {Codec} codec
 * @returns {Codec}
 */
function asCodec({ mimeType, clockRate, channels, sdpFmtpLine }) {
  return { mimeType, clockRate, ...(channels !== undefined && { channels }), ...(sdpFmtpLine !== undefined && { sdpFmtpLine }) };
}
