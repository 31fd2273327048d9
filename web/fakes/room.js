// @ts-check
import { Emitter } from '../sdk/maitred.js';

/** @typedef {import('../sdk/maitred.js').Member} Member */
/** @typedef {import('../sdk/maitred.js').Sent} Sent */

/** The connection to one member: remembers what it is given to send. */
export class FakePeer {
  /** @type {any[]} */
  sent = [];
  /** @type {Sent} */
  result = 'sent';
  /** @type {any} */
  connection = null;

  /** @param {Member} member */
  constructor(member) {
    this.member = member;
  }

  /** @param {any} data */
  send(data) {
    if (this.result !== 'lost') this.sent.push(data);
    return this.result;
  }
}

/**
 * A room that one is in, whose server and members are the test.
 * @extends {Emitter<import('../sdk/maitred.js').RoomEvents>}
 */
export class FakeRoom extends Emitter {
  /** @type {Member} */
  self = { id: 'ME', name: 'Me', role: 'member' };
  /** @type {Map<string, any>} */
  peers = new Map();
  /** @type {any} */
  settings = { id: 'tea', locked: false, knock: false, password: false, maxMembers: 16 };

  /** @param {...string} names of those who are here before us; their ids are their names */
  constructor(...names) {
    super();
    for (const name of names) this.#add({ id: name, name, role: 'member', state: {} });
  }

  get members() {
    return new Map([...this.peers].map(([id, { member }]) => [id, /** @type {Member} */ (member)]));
  }

  /** @param {string} id @returns {FakePeer} */
  peer(id) {
    return this.peers.get(id);
  }

  /** @param {any} data */
  send(data) {
    return new Map([...this.peers].map(([id, peer]) => [id, peer.send(data)]));
  }

  /** @param {string} id @param {object} [state] */
  join(id, state = {}) {
    const member = /** @type {Member} */ ({ id, name: id, role: 'member', state });
    this.emit('member-joined', { member, peer: this.#add(member) });
  }

  /** @param {string} id @param {Partial<Member>} changes */
  update(id, changes) {
    const peer = this.peers.get(id);
    peer.member = { ...peer.member, ...changes };
    this.emit('member-updated', { member: peer.member });
  }

  /** @param {string} id @param {string} [reason] */
  leave(id, reason = 'left') {
    const { member } = this.peers.get(id);
    this.peers.delete(id);
    this.emit('member-left', { member, reason });
  }

  /**
   * The connection to the server is back.
   * @param {boolean} resumed
   * @param {...string} names who is met anew when it is not
   */
  rejoin(resumed, ...names) {
    if (!resumed) for (const id of [...this.peers.keys()]) this.leave(id, 'reconnected');
    this.emit('joined', { self: this.self, resumed });
    for (const name of names) this.join(name);
  }

  /** @param {string} id @param {any} data */
  hear(id, data) {
    const peer = this.peers.get(id);
    this.emit('data', { member: peer.member, peer, data });
  }

  /** @param {string} id @param {import('../sdk/maitred.js').PeerStatus} status */
  become(id, status) {
    const peer = this.peers.get(id);
    this.emit('status', { member: peer.member, peer, status });
  }

  /** @param {Member} member */
  #add(member) {
    const peer = /** @type {any} */ (new FakePeer(member));
    this.peers.set(member.id, peer);
    return peer;
  }
}
