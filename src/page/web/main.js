'use strict';
// The parts that are one of a kind: runs, where reward and quality part, time, theme; and the start.
(() => {
  const { make, number, keep } = Report;
  const { page, runs } = Report;
  const held = (name) => /^(eval_|valid_|audit_)/.test(name) && !/_error$|^eval_.*_change$|^audit_(alarm|dialogues)$/.test(name);
  const qualities = () => [...new Set(runs.flatMap((run) => Object.keys(run.parting)))];
  const qualityOf = (run) => {
    const chosen = Report.state.quality;
    return chosen && Object.hasOwn(run.parting, chosen) ? chosen : run.quality;
  };

  // {x: step, how: text} or null.
  const partingOf = (run) => {
    if (run.audit !== null) return { x: run.audit, by: 'audit', how: 'by an audit' };
    const name = qualityOf(run);
    const x = name ? run.parting[name] : null;
    return x === null || x === undefined ? null : { x, by: name, how: `by ${name}` };
  };
  // Those that a chart of some metric shows: of audits and the reward every run's.
  Report.partingMarks = (name) => Report.shown().flatMap((run) => {
    const parting = partingOf(run);
    const here = parting && (name === 'reward' || parting.by === name || (parting.by === 'audit' && name.startsWith('audit_')));
    return here ? [{ x: parting.x, colour: Report.colour(run.index) }] : [];
  });

  const ends = (run, name) => {
    const points = name ? Report.points(run, name) : [];
    return points.length ? [points[0].y, points[points.length - 1].y] : [null, null];
  };
  const change = (run, name) => {
    const [first, last] = ends(run, name);
    return first === null ? '-' : `${number(first, 3)} → ${number(last, 3)}`;
  };

  const drawRuns = () => {
    const updates = (run) => run.settings[{ sft: 'sft.updates', reward: 'rm.updates' }[run.kind] || 'train.updates'];
    const head = ['run', 'kind', 'control', 'update', 'reward or loss', 'quality', 'they part'];
    Report.fill('run-table', Report.table('Runs', head.map((name) => make('th', { scope: 'col' }, name)), runs.map((run) => {
      const trained = ['reward', 'loss'].find((name) => Report.column(run, name));
      const parting = partingOf(run);
      const quality = qualityOf(run) || ['audit_judge', 'valid_accuracy', 'valid_loss'].find((name) => Report.column(run, name));
      const last = run.steps.length ? run.steps[run.steps.length - 1] : 0;
      return make('tr', {},
        make('th', { scope: 'row' }, Report.swatch(run), ' ', run.name), make('td', { class: 'tight' }, run.kind || '?'), make('td', { class: 'tight' }, run.control || 'none'),
        make('td', { class: 'tight' }, `${last} of ${updates(run) || '?'}`),
        make('td', { class: 'tight' }, trained ? `${trained} ${change(run, trained)}` : '-'),
        make('td', { class: 'tight' }, quality ? `${quality} ${change(run, quality)}` : '-'),
        make('td', { class: 'tight' }, parting ? `at step ${parting.x}, ${parting.how}` : 'not seen'));
    })));
    const notes = runs.flatMap((run) => run.notes.map((note) => make('li', {}, `${run.name}: ${note}`)));
    Report.fill('notes', notes.length ? make('ul', { class: 'notes' }, ...notes) : null);
    const about = runs.filter((run) => run.about).flatMap((run) => [make('h3', {}, run.name), make('pre', {}, run.about)]);
    Report.fill('about', about.length ? make('details', {}, make('summary', {}, 'How the runs were started'), ...about) : null);
  };

  const drawHeldOut = () => {
    const names = Report.names().filter(held);
    const first = (name) => (qualities().includes(name) ? 1 : name.startsWith('audit_') ? 2 : 3);
    names.sort((a, b) => first(a) - first(b));
    const isBin = (name) => /^valid_bin_/.test(name);
    const card = (name) => new Report.Card(name, Report.seriesOf(name, false), { marks: () => Report.partingMarks(name) }).element;
    Report.fill('parting', make('p', { class: 'note' },
      'Reward and quality part (dashed, “part”) at the first audit that said so; in a run without audits at the first evaluation by which the mean '
      + 'reward of training since the evaluation before is higher than it was before the second evaluation, while the held-out metric chosen above is worse than at the first'
      + ' (by more than two standard errors of the change, which is of the same dialogues; in runs that did not write it, of the difference of two '
      + 'independent evaluations; where there are no errors, by anything). Whiskers: 95% intervals, of metrics that were written with errors.'));
    Report.fill('held-out-curves', ...(names.length ? names.filter((name) => !isBin(name)).map(card)
      : [make('p', { class: 'note' }, 'Nothing was held out: data.valid and eval.every, or audit.every, would.')]));
    const bins = names.filter(isBin);
    Report.fill('calibration', bins.length ? make('details', {}, make('summary', {}, `Calibration, bin by bin (${bins.length})`),
      make('div', { class: 'cards' }, ...bins.map(card))) : null);
  };

  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const timeName = (name) => name.replace(/^time_/, '').replace(/_/g, ' ');
  // Shares of a row's kinds of time.
  const timeShares = (run, kinds) => run.steps.flatMap((x, i) => {
    const seconds = kinds.map((kind) => { const column = Report.column(run, kind); return column && column[i] !== null ? Math.max(0, column[i]) : 0; });
    const sum = seconds.reduce((a, b) => a + b, 0);
    return sum > 0 ? [{ x, shares: seconds.map((one) => one / sum), sum }] : [];
  });
  const kindColour = (i) => `hsl(${(i * 47 + 210) % 360} 55% ${document.documentElement.hasAttribute('data-dark') ? 58 : 46}%)`;

  const drawTime = () => {
    const kinds = Report.names().filter((name) => /^time_/.test(name) && !/_max$|^time_slowest$/.test(name));
    const with_ = runs.filter((run) => timeShares(run, kinds).length);
    const speeds = ['seconds', 'tokens_per_second'].filter((name) => Report.names().includes(name))
      .map((name) => new Report.Card(name === 'seconds' ? 'seconds an update' : 'tokens a second', Report.seriesOf(name, true)).element);
    const legend = () => make('div', { class: 'kinds' }, ...kinds.map((kind, i) => {
      const box = make('span', { 'aria-hidden': 'true' });
      box.style.background = kindColour(i);
      return make('span', {}, box, timeName(kind));
    }));
    const table = () => Report.table('Shares of time', [make('th', { scope: 'col' }, 'run'), ...kinds.map((kind) => make('th', { scope: 'col', class: 'number' }, timeName(kind)))],
      with_.map((run) => {
        const rows = timeShares(run, kinds);
        return make('tr', {}, make('th', { scope: 'row' }, run.name), ...kinds.map((kind, k) => {
          const all = rows.reduce((sum, row) => sum + row.sum, 0);
          return make('td', { class: 'number' }, percent(rows.reduce((sum, row) => sum + row.shares[k] * row.sum, 0) / all));
        }));
      }));
    // Where ranks differ: each one's own shares.
    const ranksOf = (run) => {
      const names = Object.keys(run.ranks);
      const count = Math.max(0, ...names.map((name) => run.ranks[name].length));
      if (count < 2) return null;
      const rows = [...Array(count).keys()].map((rank) => {
        const seconds = names.map((name) => run.ranks[name][rank] || 0);
        const sum = seconds.reduce((a, b) => a + b, 0);
        return make('tr', {}, make('th', { scope: 'row' }, `rank ${rank}`),
          ...seconds.map((one) => make('td', { class: 'number' }, sum > 0 ? percent(one / sum) : '-')),
          make('td', { class: 'number' }, `${number(sum, 3)} s`));
      });
      return make('details', {}, make('summary', {}, `${run.name}, rank by rank`),
        Report.table(`Shares of each rank's time, ${run.name}`, ['', ...names.map(timeName), 'together'].map((name) => make('th', { scope: 'col', class: 'number' }, name)), rows, 'high'));
    };
    const stacks = with_.map((run) => new Report.Card(`shares of time: ${run.name}`, () => kinds.map((kind, k) => ({
      run, label: timeName(kind), colour: kindColour(k), points: timeShares(run, kinds).map((row) => ({ x: row.x, y: row.shares[k], e: 0 })),
    })), { stacked: true, percent: true, most: 1, goes: false }).element);
    Report.fill('time-parts',
      with_.length ? legend() : make('p', { class: 'note' }, 'These runs did not write where their time went (time_... in metrics.jsonl); what they wrote is how long updates took.'),
      with_.length ? table() : null,
      ...runs.map(ranksOf),
      make('div', { class: 'cards' }, ...stacks, ...speeds));
  };

  const drawLegend = () => {
    Report.fill('legend', ...runs.map((run) => {
      const shown = Report.shown().includes(run);
      return make('button', {
        type: 'button', 'aria-pressed': String(shown), title: run.path,
        onclick: (event) => {
          const hidden = (Report.state.hidden || []).filter((path) => path !== run.path);
          keep({ hidden: shown ? [...hidden, run.path] : hidden });
          drawLegend();
          Report.redraw();
          Report.at('legend').children[run.index].focus();
        },
      }, Report.swatch(run), make('span', {}, Report.label(run)));
    }));
  };

  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const setTheme = () => {
    const wanted = Report.state.theme || 'auto';
    document.documentElement.toggleAttribute('data-dark', wanted === 'dark' || (wanted === 'auto' && dark.matches));
  };

  const startTheme = () => {
    setTheme();
    const again = () => {
      setTheme();
      drawTime();
      Report.redraw();
    };
    Report.at('theme').value = Report.state.theme || 'auto';
    Report.at('theme').addEventListener('change', (event) => {
      keep({ theme: event.target.value });
      again();
    });
    dark.addEventListener('change', again);
  };

  // A page that is written again and again loads itself again; not while somebody is at its samples.
  const startFollowing = () => {
    if (!page.watch) return;
    const follow = Report.at('follow');
    Report.at('follow-label').hidden = false;
    follow.checked = Report.state.follow !== false;
    follow.addEventListener('change', () => keep({ follow: follow.checked }));
    const busy = () => document.querySelector('#samples:hover, #samples:focus-within') !== null;
    setInterval(() => {
      if (!follow.checked || busy()) return;
      location.reload(); // the browser keeps the place
    }, 1000 * Math.max(1, page.watch));
  };

  startTheme();
  document.title = `regard report: ${runs.map((run) => run.name).join(', ')}`;
  Report.at('made').textContent = `${runs.length} run${runs.length === 1 ? '' : 's'}, written ${page.made}`
    + (page.watch ? `, again every ${number(page.watch)} s when there is something new` : '');
  Report.at('program').textContent = `Made by regard ${page.program}; charts by Chart.js (MIT licence, in this page's source).`;
  const quality = Report.at('quality');
  quality.append(make('option', { value: '' }, 'each run\'s own'), ...qualities().map((name) => make('option', { value: name }, name)));
  quality.value = qualities().includes(Report.state.quality) ? Report.state.quality : '';
  quality.addEventListener('change', () => {
    keep({ quality: quality.value });
    drawRuns();
    Report.redraw();
  });
  document.documentElement.toggleAttribute('data-no-charts', !page.charts);
  if (!page.charts) {
    Report.at('legend').after(make('p', { class: 'note' }, 'This page was written by a program that was built without Chart.js: it has no curves.'));
  }
  drawLegend();
  drawRuns();
  drawHeldOut();
  drawTime();
  Report.starts.forEach((start) => start());
  startFollowing();
  Report.ready = true;
})();
