"""Sound events and backgrounds made by arithmetic, for the built-in sounds.

Pitch, rate, length, onset and timbre vary strongly within a class, and neighbours overlap on
purpose (whistle, siren, chirps; clicks, crackle, knocks; engine, animal call; hiss and windy
backgrounds), so that a small network has something to learn.
"""

import numpy as np


# ---- Building blocks. Times in seconds, frequencies in Hz, signals float64 [n]. -----------------
def _log_uniform(rng, low, high, size=None):
    """Draw from [low, high] evenly per octave, as pitch, rate and duration are heard."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def _noise(rng, n, sr, slope=0.0, low=0.0, high=np.inf):
    """Noise of power f^-slope (0 white, 1 pink, 2 brown) between soft edges low and high; rms 1."""
    freq = np.maximum(np.fft.rfftfreq(n, 1 / sr), 20.0)  # floor: brown noise is not a drift
    gain = freq ** (-slope / 2) / (1 + (low / freq) ** 8) / (1 + (freq / high) ** 8)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
    return noise / np.sqrt(np.mean(noise**2))


def _wander(rng, n, sr, rate):
    """A continuous random curve of about unit variance that turns `rate` times a second."""
    knots = rng.standard_normal(int(n / sr * rate) + 3)
    return np.interp(np.arange(n) * rate / sr + rng.uniform(), np.arange(len(knots)), knots)


def _fade(n, sr, attack, release):
    """Raised-cosine attack and release, shortened where the sound has no room for them."""
    t = np.arange(n) / sr
    attack, release = min(attack, n / sr / 2), min(release, n / sr / 2)
    ramp = np.minimum(np.clip(t / attack, 0, 1), np.clip((n / sr - t) / release, 0, 1))
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def _harmonics(f0, sr, gain, count):
    """Sum of `count` harmonics of the pitch curve f0 [n], each weighted by gain(its frequency)."""
    t, out = np.arange(len(f0)), np.zeros(len(f0))
    rotor, carrier = np.exp(2j * np.pi * np.cumsum(f0) / sr), 1.0
    for k in range(1, count + 1):
        carrier = carrier * rotor  # cheaper than another sine
        freq = k * f0[::64]  # gains vary slowly, and cost the most
        audible = np.clip((0.5 - freq / sr) * 20, 0, 1)  # fades out below Nyquist: no aliases
        weight = gain(freq) * audible * (1 - k / (count + 1))
        out += np.interp(t, t[::64], weight) * carrier.imag
    return out


def _formants(rng, centres, width=0.25):
    """A gain curve over frequency: a resonance (in log-frequency) near each of the centres."""
    centres = centres * _log_uniform(rng, 0.7, 1.4, len(centres))
    peaks = rng.uniform(0.3, 1.0, len(centres))

    def gain(f):
        octaves = np.log(np.asarray(f)[..., None] / centres) / width
        return 0.03 + np.exp(-0.5 * octaves**2) @ peaks

    return gain


def _struck(rng, sr, freqs, gains, decays):
    """A struck body: modes at freqs [m] that die away with time constants decays [m]."""
    freqs, gains, decays = (np.asarray(a, dtype=float)[:, None] for a in (freqs, gains, decays))
    t = np.arange(int(6 * decays.max() * sr) + 1) / sr
    phase = rng.uniform(0, 2 * np.pi, freqs.shape)
    modes = gains * np.exp(-t / decays) * np.sin(2 * np.pi * freqs * t + phase)
    return np.sum(modes * (freqs < 0.47 * sr), axis=0)


def _add(out, sound, start):
    """Add `sound` to `out` in place from `start` seconds-as-samples on, cut at the end of out."""
    room = out[int(start) :]
    room[: len(sound)] += sound[: len(room)]


def _onsets(rng, n, sr, rate, jitter, first=0.4):
    """Sample indices of a regular train that starts within the first share `first` of the clip."""
    start, stop = rng.uniform(0, first) * n, rng.uniform(0.7, 1) * n
    times = np.arange(start, max(stop, start + 1), sr / rate)
    return np.clip(times + jitter * sr / rate * rng.standard_normal(len(times)), 0, 0.95 * n)


def _span(rng, n, sr, longest_fade):
    """An envelope [n] for continuous sounds: starts early, stops late, fades in and out."""
    out, start, stop = np.zeros(n), int(rng.uniform(0, 0.4) * n), int(rng.uniform(0.7, 1) * n)
    out[start:stop] = _fade(stop - start, sr, *rng.uniform(0.02, longest_fade, 2))
    return out


# ---- Events: (rng, n_samples, sample_rate) -> float64 [n_samples] at any level. -----------------
def animal_call(rng, n, sr):
    """One to four voiced calls: an arched pitch, formants, sometimes a growl."""
    out, base = np.zeros(n), _log_uniform(rng, 110, 700)
    gain = _formants(rng, (500, 1200, 2800), 0.35)
    growl, growl_rate = rng.uniform(0, 0.9), _log_uniform(rng, 20, 70)
    length = _log_uniform(rng, 0.2, 0.9)
    for start in _onsets(rng, n, sr, rng.uniform(0.4, 0.9) / length, 0.1)[: rng.integers(1, 5)]:
        m = int(length * rng.uniform(0.8, 1.2) * sr)
        x = np.linspace(0, 1, m)
        arch = rng.uniform(-0.2, 0.5) * np.sin(np.pi * x) + rng.uniform(-0.4, 0.2) * x
        f0 = base * 2 ** (arch + 0.02 * _wander(rng, m, sr, 25))
        voice = _harmonics(f0, sr, gain, 24) + 0.1 * _noise(rng, m, sr, 1, 300)
        growling = 1 - growl * (0.5 + 0.5 * np.sin(2 * np.pi * growl_rate * x * m / sr))
        _add(out, voice * growling * _fade(m, sr, 0.04, 0.12), start)
    return out


def bird_chirps(rng, n, sr):
    """A few to many short chirps: swept, arched or trilled whistles of 1.5 to 6 kHz."""
    out, base = np.zeros(n), _log_uniform(rng, 1500, 5000)
    length, trill = _log_uniform(rng, 0.05, 0.35), rng.uniform(0, 0.12) * (rng.uniform() < 0.5)
    sweep, arch, trill_rate = rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 0.5), rng.uniform(12, 40)
    for start in _onsets(rng, n, sr, rng.uniform(0.3, 0.8) / length, 0.12):
        m = int(length * rng.uniform(0.7, 1.3) * sr)
        x = np.linspace(-0.5, 0.5, m)
        curve = sweep * x + arch * np.cos(np.pi * x) + 0.03 * rng.standard_normal()
        f0 = base * 2 ** (curve + trill * np.sin(2 * np.pi * trill_rate * x * m / sr))
        chirp = _harmonics(f0, sr, lambda f: (base / f) ** 3, 2)
        _add(out, rng.uniform(0.4, 1) * chirp * _fade(m, sr, 0.3 * m / sr, 0.3 * m / sr), start)
    return out


def siren(rng, n, sr):
    """A long tone with overtones whose pitch wails, yelps or alternates."""
    base, rate, depth = *_log_uniform(rng, (350, 0.3), (1500, 5)), rng.uniform(0.15, 0.6)
    swing = np.sin(2 * np.pi * (rate * np.arange(n) / sr + rng.uniform()))
    shape = rng.choice(["sine", "triangle", "two-tone"])
    if shape == "triangle":
        swing = 2 / np.pi * np.arcsin(swing)
    elif shape == "two-tone":
        swing = np.tanh(8 * swing)
    tilt = rng.uniform(0.8, 2.5)
    tone = _harmonics(base * 2 ** (depth * swing), sr, lambda f: (base / f) ** tilt, 8)
    return tone * _span(rng, n, sr, 0.6) * np.exp(0.2 * _wander(rng, n, sr, 3))


def whistle(rng, n, sr):
    """One to three held, nearly pure notes with vibrato, a glide and some breath."""
    out, base = np.zeros(n), _log_uniform(rng, 500, 3500)
    vibrato, rate = _log_uniform(rng, 0.01, 0.12), rng.uniform(3, 9)
    for start in _onsets(rng, n, sr, rng.uniform(0.8, 2.0), 0.1)[: rng.integers(1, 4)]:
        m = int(_log_uniform(rng, 0.3, 1.6) * sr)
        t = np.arange(m) / sr
        glide = rng.uniform(-0.4, 0.4) * np.tanh(3 * (t / t[-1] - rng.uniform()))
        f0 = base * 2 ** (glide + vibrato * np.sin(2 * np.pi * rate * t))
        note = _harmonics(f0, sr, lambda f: (base / f) ** 2.5, 3)
        note += rng.uniform(0.02, 0.2) * _noise(rng, m, sr, 0, base / 1.5, base * 1.5)
        _add(out, note * _fade(m, sr, 0.05, 0.15), start)
    return out


def clicks(rng, n, sr):
    """A mechanical train of short resonant ticks, nearly regular, some of them doubled."""
    out, freq = np.zeros(n), _log_uniform(rng, 600, 5000)
    decay, double = _log_uniform(rng, 0.001, 0.012), rng.uniform() < 0.4
    gap = rng.uniform(0.02, 0.06) * sr
    for start in _onsets(rng, n, sr, _log_uniform(rng, 1.5, 14), rng.uniform(0, 0.12)):
        freqs = freq * np.array([1, 1.7, 2.9]) * rng.uniform(0.95, 1.05)
        tick = _struck(rng, sr, freqs, (1, 0.6, 0.4), decay * np.array([1, 0.7, 0.5]))
        _add(out, rng.uniform(0.6, 1) * tick, start)
        if double:
            _add(out, rng.uniform(0.3, 0.8) * tick, start + gap)
    return out


def crackle(rng, n, sr):
    """Fire: pops at random times, of random colour and heavy-tailed loudness, over a rumble."""
    out = rng.uniform(0.0, 0.03) * _noise(rng, n, sr, 1.5)
    density, bright = _log_uniform(rng, 4, 40), _log_uniform(rng, 700, 4000)
    for start in rng.uniform(0, n, 3 + rng.poisson(density * n / sr)):
        freqs = bright * _log_uniform(rng, 0.4, 2.5, 3)
        pop = _struck(rng, sr, freqs, rng.uniform(0.2, 1, 3), _log_uniform(rng, 4e-4, 6e-3, 3))
        _add(out, rng.lognormal(0, 0.8) * pop, start)
    return out


def knock(rng, n, sr):
    """Groups of impacts on a wooden body: a thud of a few low modes and a little noise."""
    out, low = np.zeros(n), _log_uniform(rng, 90, 900)
    freqs = low * np.cumprod([1, *rng.uniform(1.3, 2.2, 3)])
    decays = _log_uniform(rng, 0.01, 0.07) * np.array([1, 0.8, 0.5, 0.3])
    gains, rate = rng.uniform(0.2, 1, 4), _log_uniform(rng, 2, 9)
    for group in _onsets(rng, n, sr, rng.uniform(0.4, 1.2), 0.1):
        for i in range(rng.integers(1, 5)):
            thud = _struck(rng, sr, freqs, gains, decays)
            thud += 0.2 * _noise(rng, len(thud), sr) * np.exp(-np.arange(len(thud)) / sr / 0.004)
            at = group + i * sr / rate * rng.uniform(0.92, 1.08)
            _add(out, rng.uniform(0.5, 1) * thud, at)
    return out


def hiss(rng, n, sr):
    """Steam or spray: bursts of band-limited noise, from single puffs to one long jet."""
    out, centre = np.zeros(n), _log_uniform(rng, 900, 5500)
    width, length = 2 ** rng.uniform(0.2, 1.0), _log_uniform(rng, 0.15, 2.0)
    attack, release = _log_uniform(rng, 0.005, 0.2), _log_uniform(rng, 0.03, 0.6)
    for start in _onsets(rng, n, sr, rng.uniform(0.4, 0.8) / length, 0.15):
        m = int(length * rng.uniform(0.7, 1.3) * sr)
        puff = _noise(rng, m, sr, 0, centre / width, centre * width)
        _add(out, rng.uniform(0.5, 1) * puff * _fade(m, sr, attack, release), start)
    return out


def engine(rng, n, sr):
    """A motor: many harmonics of a low, drifting firing rate, pulsating, with exhaust noise."""
    base, t = _log_uniform(rng, 30, 170), np.arange(n) / n
    rev = rng.uniform(-0.5, 0.5) * np.tanh(5 * (t - rng.uniform(0.2, 0.8)))
    f0 = base * 2 ** (rev + 0.03 * _wander(rng, n, sr, 6))
    tone = _harmonics(f0, sr, _formants(rng, (150, 600, 1600), 0.5), 30)
    beat = np.sin(np.pi * np.cumsum(f0) / sr * rng.choice([0.25, 0.5, 1.0]))
    tone = tone / np.std(tone) + rng.uniform(0.05, 0.5) * _noise(rng, n, sr, 1, 100, 4000)
    return tone * (1 + rng.uniform(0.1, 0.8) * beat) * _span(rng, n, sr, 0.5)


def bell(rng, n, sr):
    """One to five strokes of a bell: inharmonic partials that ring on, high ones more briefly."""
    out, base = np.zeros(n), _log_uniform(rng, 250, 2200)
    ratios = np.array([0.5, 1, 1.19, 1.5, 2, 2.74, 3.76, 5.4]) * _log_uniform(rng, 0.96, 1.04, 8)
    gains = rng.uniform(0.05, 1, 8) * ratios ** -rng.uniform(0.2, 1.2)
    decays = _log_uniform(rng, 0.08, 1.0) * ratios ** -rng.uniform(0.2, 0.8)
    for start in _onsets(rng, n, sr, _log_uniform(rng, 0.5, 4), 0.1)[: rng.integers(1, 6)]:
        stroke = _struck(rng, sr, base * ratios, gains, decays)
        _add(out, rng.uniform(0.5, 1) * stroke, start)
    return out


CLASSES = {  # the order gives the target index
    "animal_call": animal_call, "bird_chirps": bird_chirps, "siren": siren, "whistle": whistle,
    "clicks": clicks, "crackle": crackle, "knock": knock, "hiss": hiss, "engine": engine,
    "bell": bell,
}  # fmt: skip


# ---- Backgrounds, same signature ----------------------------------------------------------------
def _steady(rng, n, sr):
    return _noise(rng, n, sr, rng.uniform(0, 2))


def _wind(rng, n, sr):
    gusts = np.exp(rng.uniform(0.3, 0.8) * _wander(rng, n, sr, _log_uniform(rng, 0.5, 4)))
    return gusts * _noise(rng, n, sr, rng.uniform(0.5, 2), 60, _log_uniform(rng, 400, 5000))


def _hum(rng, n, sr):
    f0 = _log_uniform(rng, 45, 240) * (1 + 0.003 * _wander(rng, n, sr, 2))
    tone = _harmonics(f0, sr, _formants(rng, (200, 900), 0.6), 16)
    return tone / np.std(tone) + rng.uniform(0.2, 1) * _noise(rng, n, sr, 1)


def _babble(rng, n, sr):
    out = 0.1 * _noise(rng, n, sr, 1)
    for _ in range(rng.integers(3, 6)):
        f0 = _log_uniform(rng, 90, 280) * 2 ** (0.2 * _wander(rng, n, sr, 3))
        voice = _harmonics(f0, sr, _formants(rng, (500, 1400, 2600)), 15)
        out += voice * np.maximum(_wander(rng, n, sr, rng.uniform(4, 8)), 0)  # syllables
    return out


BACKGROUNDS = (_steady, _wind, _hum, _babble)
