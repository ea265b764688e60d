'use strict';
// Cards with one chart each: drawn by Chart.js when they come into sight.
(() => {
  const { make, number } = Report;
  const cards = new Set();

  const smoothed = (points, width) => {
    if (width < 2) return points;
    let sum = 0;
    return points.map((point, i) => {
      sum += point.y - (i >= width ? points[i - width].y : 0);
      return { x: point.x, y: sum / Math.min(i + 1, width), e: 0 };
    });
  };

  // Intervals of 95% as whiskers.
  const whiskers = {
    id: 'whiskers',
    afterDatasetsDraw(chart) {
      const { ctx, scales: { x, y } } = chart;
      chart.data.datasets.forEach((set) => {
        ctx.save();
        ctx.strokeStyle = set.borderColor;
        ctx.lineWidth = 1;
        set.data.forEach((point) => {
          if (!point.e) return;
          const at = x.getPixelForValue(point.x);
          const low = y.getPixelForValue(point.y - 1.96 * point.e);
          const high = y.getPixelForValue(point.y + 1.96 * point.e);
          ctx.beginPath();
          ctx.moveTo(at, low);
          ctx.lineTo(at, high);
          ctx.moveTo(at - 3, low);
          ctx.lineTo(at + 3, low);
          ctx.moveTo(at - 3, high);
          ctx.lineTo(at + 3, high);
          ctx.stroke();
        });
        ctx.restore();
      });
    },
  };

  // Steps where runs' reward and quality part; several at one step share a line.
  const marks = {
    id: 'marks',
    afterDatasetsDraw(chart, args, options) {
      const { ctx, scales: { x }, chartArea: { top, bottom, right } } = chart;
      const list = options.list || [];
      [...new Set(list.map((mark) => mark.x))].forEach((step) => {
        const here = list.filter((mark) => mark.x === step);
        const at = x.getPixelForValue(step);
        ctx.save();
        ctx.lineWidth = 1.5;
        here.forEach((mark, i) => {
          ctx.strokeStyle = mark.colour;
          ctx.setLineDash([4, here.length > 1 ? 4 * (here.length - 1) : 4]);
          ctx.lineDashOffset = -4 * i;
          ctx.beginPath();
          ctx.moveTo(at, top);
          ctx.lineTo(at, bottom);
          ctx.stroke();
        });
        ctx.fillStyle = here.length > 1 ? Report.style('--ink') : here[0].colour;
        ctx.font = '11px system-ui, "DejaVu Sans", sans-serif';
        ctx.textBaseline = 'top';
        ctx.textAlign = at > right - 60 ? 'right' : 'left';
        ctx.fillText(here.length > 1 ? `${here.length} part` : 'part', at + (ctx.textAlign === 'left' ? 4 : -4), top);
        ctx.restore();
      });
    },
  };

  const axis = (extra) => ({
    ticks: { color: Report.style('--soft'), maxRotation: 0, autoSkipPadding: 14, ...(extra.ticks || {}) },
    grid: { color: Report.style('--grid'), borderColor: Report.style('--line') },
    border: { color: Report.style('--line') },
    ...Object.fromEntries(Object.entries(extra).filter(([name]) => name !== 'ticks')),
  });

  // As many digits as tell a tick from the next.
  const tickText = (value, ticks) => {
    const apart = ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : 1;
    const size = Math.max(...ticks.map((tick) => Math.abs(tick.value)));
    return number(value, apart > 0 ? Math.max(2, 1 + Math.ceil(Math.log10(size / apart)) + 1) : 4);
  };

  const options = (card) => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    parsing: false,
    interaction: { mode: 'nearest', axis: 'x', intersect: false },
    onClick: (event, elements, chart) => card.chosen(elements, chart),
    scales: {
      x: axis({ type: 'linear', min: card.from, max: card.to, ticks: { maxTicksLimit: 7, precision: 0 } }),
      y: axis({
        stacked: card.stacked, min: card.stacked ? 0 : undefined, max: card.most, suggestedMin: card.low, suggestedMax: card.high,
        ticks: { maxTicksLimit: 6, callback: (value, i, ticks) => (card.percent ? `${Math.round(100 * value)}%` : tickText(value, ticks)) },
      }),
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        backgroundColor: Report.style('--ink'),
        titleColor: Report.style('--page'),
        bodyColor: Report.style('--page'),
        callbacks: {
          title: (items) => (items.length ? `step ${items[0].raw.x}` : ''),
          label: (item) => `${item.dataset.label}: ${card.text(item.raw)}`,
        },
      },
      marks: { list: card.marks() },
    },
  });

  // series: () => [{label, colour, dash, points, run}]; what is hidden is not among them.
  class Card {
    constructor(title, series, extra = {}) {
      Object.assign(this, { title, series, marks: () => [], goes: true }, extra);
      this.said = make('div', { class: 'said', 'aria-live': 'polite' });
      this.canvas = make('canvas', { tabindex: '0', role: 'img' });
      this.element = make('figure', { class: 'card' },
        make('figcaption', {}, title, extra.under ? make('small', {}, extra.under) : null),
        make('div', { class: 'plot' + (extra.wide ? ' wide' : '') }, this.canvas), this.said);
      this.element.card = this;
      this.canvas.addEventListener('keydown', (event) => this.key(event));
      this.canvas.addEventListener('blur', () => this.step(null));
      cards.add(this);
      watcher.observe(this.element);
    }

    text(point) {
      const share = this.percent ? `${number(100 * point.y, 3)}%` : number(point.y);
      return share + (point.e ? ` (± ${number(1.96 * point.e, 2)})` : '');
    }

    draw() {
      if (this.chart) this.chart.destroy();
      const series = this.series().filter((one) => one.points.length);
      const steps = new Set(series.flatMap((one) => one.points.map((point) => point.x)));
      this.steps = [...steps].sort((a, b) => a - b);
      this.from = this.steps[0];
      this.to = this.steps[this.steps.length - 1];
      if (this.from === this.to) { // one point: an axis round it
        this.from -= 1;
        this.to += 1;
      }
      // Whiskers lie within the axis too.
      const ends = series.flatMap((one) => one.points.filter((point) => point.e)
        .flatMap((point) => [point.y - 1.96 * point.e, point.y + 1.96 * point.e]));
      this.low = ends.length ? Math.min(...ends) : undefined;
      this.high = ends.length ? Math.max(...ends) : undefined;
      this.canvas.setAttribute('aria-label', this.describe(series));
      this.drawn = true;
      if (!window.Chart) return;
      this.chart = new Chart(this.canvas, {
        type: 'line',
        data: {
          datasets: series.map((one) => ({
            label: one.label,
            run: one.run,
            data: one.points,
            borderColor: one.colour,
            backgroundColor: one.fill || one.colour,
            fill: this.stacked ? 'stack' : false,
            borderDash: one.dash || [],
            borderWidth: this.stacked ? 0.5 : 1.7,
            pointRadius: !this.stacked && one.points.length <= 40 ? 2 : 0,
            pointHoverRadius: 4,
            spanGaps: true,
            clip: 5,
          })),
        },
        options: options(this),
        plugins: [whiskers, marks],
      });
    }

    describe(series) {
      const some = series.slice(0, 8).map((one) => {
        const first = one.points[0];
        const last = one.points[one.points.length - 1];
        return `${one.label}: ${this.text(first)} at step ${first.x}, ${this.text(last)} at step ${last.x}`;
      });
      const more = series.length > 8 ? `; and ${series.length - 8} more` : '';
      return `${this.title}. ${some.join('; ') || 'no values'}${more}. Arrow keys go along.`;
    }

    key(event) {
      const last = this.steps.length - 1;
      const now = this.now === undefined ? -1 : this.now;
      const to = { ArrowRight: Math.min(now + 1, last), ArrowLeft: Math.max(now - 1, 0), Home: 0, End: last }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        this.step(to);
      } else if (event.key === 'Enter' && now >= 0 && this.goes && this.chart) {
        event.preventDefault(); // it would press what gets the focus
        const elements = this.elements(now);
        if (elements.length) Report.showSamples(this.chart.data.datasets[elements[0].datasetIndex].run, this.steps[now]);
      } else if (event.key === 'Escape') this.step(null);
    }

    elements(place) {
      if (!this.chart || place === null) return [];
      return this.chart.data.datasets.flatMap((set, datasetIndex) => {
        const index = set.data.findIndex((point) => point.x === this.steps[place]);
        return index < 0 ? [] : [{ datasetIndex, index }];
      });
    }

    // The step that the keyboard is at.
    step(place) {
      if (!this.chart) return;
      this.now = place === null ? undefined : place;
      const elements = this.elements(place);
      this.chart.setActiveElements(elements);
      this.chart.tooltip.setActiveElements(elements, { x: 0, y: 0 });
      this.chart.update('none');
      this.said.textContent = place === null ? '' : `step ${this.steps[place]}: ` + elements.map((one) => {
        const set = this.chart.data.datasets[one.datasetIndex];
        return `${set.label} ${this.text(set.data[one.index])}`;
      }).join(', ');
    }

    chosen(elements, chart) {
      if (!elements.length || !this.goes) return;
      const set = chart.data.datasets[elements[0].datasetIndex];
      Report.showSamples(set.run, set.data[elements[0].index].x);
    }
  }

  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting && !entry.target.card.drawn) entry.target.card.draw();
  }), { rootMargin: '300px' });

  Report.redraw = () => cards.forEach((card) => {
    if (!card.element.isConnected) {
      if (card.chart) card.chart.destroy();
      watcher.unobserve(card.element);
      cards.delete(card);
    } else if (card.drawn) card.draw();
  });
  Report.Card = Card;
  Report.shown = () => Report.runs.filter((run) => !(Report.state.hidden || []).includes(run.path));
  Report.seriesOf = (name, smooth) => () => Report.shown().map((run) => ({
    run,
    label: Report.label(run),
    colour: Report.colour(run.index),
    dash: Report.dash(run),
    points: smoothed(Report.points(run, name), smooth ? Number(Report.state.smooth || 1) : 1),
  }));

  // Names to the groups they stand in; the first that takes one has it.
  const isTerm = (name) => Report.runs.some((run) => Report.column(run, name + '_scaled'));
  const groups = [
    ['Reward and its terms', (name) => name === 'reward' || isTerm(name), true],
    ['Policy', (name) => /^(kl|kl_behaviour|loss|clip_fraction|gradient_norm|token_entropy|ratio_.*|learning_rate|skipped|advantage_.*|lag_.*|staleness|mismatch.*)$/.test(name), true],
    ['Critic', (name) => /^(critic_|explained_variance)/.test(name)],
    ['Scaled terms and shares within groups', (name) => /_scaled$|^within_share_/.test(name)],
    ['Attention', (name) => /^(attention_|sink_mass|mass_|speaker_|first_mass|history_mass|reply_mass|salient_|special_)/.test(name)],
    ['Cost', (name) => /(_ms|_computed|_pairs|_seconds)$|^(seconds|tokens_per_second|bytes_.*)$/.test(name)],
    ['Replies and what else was measured', () => true, true],
  ];
  const elsewhere = (name) => /^(eval_|valid_|audit_|time_)/.test(name);

  Report.starts.push(() => {
    const names = Report.names().filter((name) => !elsewhere(name));
    const taken = new Set();
    const made = groups.map(([title, takes, open]) => {
      const mine = names.filter((name) => !taken.has(name) && takes(name));
      mine.forEach((name) => taken.add(name));
      if (!mine.length) return null;
      return make('details', { open }, make('summary', {}, `${title} (${mine.length})`),
        make('div', { class: 'cards' }, ...mine.map((name) => new Card(name, Report.seriesOf(name, true),
          name === 'reward' ? { marks: () => Report.partingMarks(name) } : {}).element)));
    });
    const thinned = Report.runs.filter((run) => run.lines > 1).map((run) => `of ${run.name} the mean of ${run.lines} lines`);
    Report.fill('training-curves',
      names.length ? null : make('p', { class: 'note' }, 'No line of metrics was written yet.'),
      thinned.length ? make('p', { class: 'note' }, `A point is ${thinned.join(', ')}.`) : null, ...made);
    Report.at('smooth').value = Report.state.smooth || '1';
    Report.at('smooth').addEventListener('change', (event) => {
      Report.keep({ smooth: event.target.value });
      Report.redraw();
    });
  });
})();
