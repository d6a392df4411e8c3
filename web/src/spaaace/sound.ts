/**
 * Sounds without files: oscillators and noise. Silent until somebody asks for them, which is remembered on this
 * device; browsers allow sound after a key or a click only, and `wake` is to be called at one.
 */
const SOUND = "everplay.sound";

export class Sound {
  #context: AudioContext | null = null;
  #out: GainNode | null = null;
  #noise: AudioBuffer | null = null;
  #thrust: GainNode | null = null;
  #on = localStorage.getItem(SOUND) === "on";

  get on(): boolean {
    return this.#on;
  }

  toggle(): void {
    this.#on = !this.#on;
    localStorage.setItem(SOUND, this.#on ? "on" : "off");
    if (this.#on) this.wake();
    else void this.#context?.suspend();
  }

  /** Starts or resumes when wanted; call it from a key or a click. */
  wake(): void {
    if (!this.#on) return;
    if (!this.#context) this.#build();
    void this.#context?.resume();
  }

  close(): void {
    void this.#context?.close();
    this.#context = null;
  }

  /** A missile leaves; `near` from 0 (out of hearing) to 1, `side` from -1 (left) to 1. */
  shot(near: number, side: number): void {
    this.#tone("square", 820, 180, 0.13, 0.1 * near, side);
  }

  hit(near: number, side: number): void {
    this.#tone("sine", 170, 34, 0.6, 0.5 * near, side);
    this.#burst(0.55, 0.38 * near, side);
  }

  spawn(): void {
    this.#tone("triangle", 220, 880, 0.3, 0.16, 0);
  }

  /** The own engine, as long as it runs. */
  thrust(runs: boolean): void {
    if (!this.#context || !this.#thrust) return;
    this.#thrust.gain.setTargetAtTime(runs ? 0.07 : 0, this.#context.currentTime, 0.04);
  }

  #build(): void {
    const context = new AudioContext();
    this.#context = context;
    this.#out = context.createGain();
    this.#out.gain.value = 0.7;
    const limiter = context.createDynamicsCompressor();
    this.#out.connect(limiter).connect(context.destination);

    this.#noise = context.createBuffer(1, context.sampleRate, context.sampleRate);
    const samples = this.#noise.getChannelData(0);
    for (let index = 0; index < samples.length; index += 1) samples[index] = Math.random() * 2 - 1;

    const engine = context.createBufferSource();
    engine.buffer = this.#noise;
    engine.loop = true;
    const deep = context.createBiquadFilter();
    deep.type = "lowpass";
    deep.frequency.value = 260;
    this.#thrust = context.createGain();
    this.#thrust.gain.value = 0;
    engine.connect(deep).connect(this.#thrust).connect(this.#out);
    engine.start();
  }

  /** The output for one sound, which fades within `seconds`. */
  #voice(seconds: number, volume: number, side: number): AudioNode | null {
    const context = this.#context;
    if (!context || !this.#out || context.state !== "running" || volume < 0.004) return null;
    const gain = context.createGain();
    gain.gain.setValueAtTime(volume, context.currentTime);
    gain.gain.exponentialRampToValueAtTime(0.001, context.currentTime + seconds);
    const pan = context.createStereoPanner();
    pan.pan.value = Math.max(-1, Math.min(1, side));
    gain.connect(pan).connect(this.#out);
    return gain;
  }

  #tone(type: OscillatorType, from: number, to: number, seconds: number, volume: number, side: number): void {
    const voice = this.#voice(seconds, volume, side);
    if (!voice) return;
    const { currentTime: now } = voice.context;
    const oscillator = new OscillatorNode(voice.context, { type, frequency: from });
    oscillator.frequency.exponentialRampToValueAtTime(to, now + seconds);
    oscillator.connect(voice);
    oscillator.start();
    oscillator.stop(now + seconds);
  }

  #burst(seconds: number, volume: number, side: number): void {
    const voice = this.#voice(seconds, volume, side);
    if (!voice) return;
    const { currentTime: now } = voice.context;
    const source = new AudioBufferSourceNode(voice.context, { buffer: this.#noise, playbackRate: 0.7 + Math.random() * 0.3 });
    const filter = new BiquadFilterNode(voice.context, { type: "lowpass", frequency: 2400 });
    filter.frequency.exponentialRampToValueAtTime(120, now + seconds);
    source.connect(filter).connect(voice);
    source.start(now, Math.random() * 0.3, seconds);
  }
}
