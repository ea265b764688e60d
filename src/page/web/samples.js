'use strict';
// From a run's trend to a step, a dialogue, a reply, its tokens.
(() => {
  const { make, number, keep } = Report;
  const withSamples = () => Report.runs.filter((run) => run.samples.length);
  const nearest = (list, wanted) => list.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));

  const current = () => {
    const runs = withSamples();
    const run = runs.find((one) => one.path === Report.state.run) || runs[0];
    const steps = run.samples.map((sample) => sample.step);
    const step = Report.state.step === undefined ? steps[steps.length - 1] : nearest(steps, Report.state.step);
    const sample = run.samples.find((one) => one.step === step);
    const dialogues = [...new Set(sample.replies.map((reply) => reply.dialogue))];
    const dialogue = dialogues.includes(Report.state.dialogue) ? Report.state.dialogue : dialogues[0];
    const turns = [...new Set(sample.replies.filter((reply) => reply.dialogue === dialogue).map((reply) => reply.turn))];
    const turn = turns.includes(Report.state.turn) ? Report.state.turn : turns[0];
    const replies = sample.replies.filter((reply) => reply.dialogue === dialogue && reply.turn === turn);
    const reply = replies.find((one) => one.candidate === Report.state.candidate) || replies[0];
    return { runs, run, steps, step, sample, dialogues, dialogue, turns, turn, replies, reply };
  };

  // A row of buttons, one of them pressed; arrow keys go along and choose.
  const choices = (label, list, now, choose) => {
    const take = (one) => { // the row is made anew: the focus goes on to its like
      choose(one);
      document.querySelector(`[aria-label="${label}"] button[aria-pressed="true"]`).focus();
    };
    const made = make('div', { class: 'choices', role: 'group', 'aria-label': label }, ...list.map((one) => make('button', {
      type: 'button', 'aria-pressed': String(one === now), tabindex: one === now ? '0' : '-1', onclick: () => take(one),
    }, String(one))));
    made.addEventListener('keydown', (event) => {
      const to = list.indexOf(now) + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0);
      if (list[to] === now || list[to] === undefined) return;
      event.preventDefault();
      take(list[to]);
    });
    return made;
  };

  const conversation = (history) => make('div', {}, ...history.messages.map((message) => make('p', {},
    make('strong', {}, message.name ? `${message.role} ${message.name}: ` : `${message.role}: `), message.content)));

  const figureNames = (replies) => [...new Set(replies.flatMap((reply) => Object.keys(reply.figures)))]
    .sort((a, b) => b.startsWith('reward') - a.startsWith('reward'));

  const replyRows = (now, choose) => {
    const names = figureNames(now.replies);
    const take = (reply) => {
      choose({ candidate: reply.candidate, token: null });
      document.querySelector('tr.choice[aria-selected="true"]').focus();
    };
    const rows = now.replies.map((reply) => make('tr', {
      class: 'choice', tabindex: reply === now.reply ? '0' : '-1', 'aria-selected': String(reply === now.reply), 'data-candidate': reply.candidate,
      onclick: () => take(reply),
    }, make('td', { class: 'number' }, String(reply.candidate + 1)), make('td', { class: 'text' }, reply.text || '(empty)', reply.ended ? '' : ' …'),
    ...names.map((name) => make('td', { class: 'number' }, number(reply.figures[name], 3)))));
    const table = Report.table('Replies; up and down choose one',
      ['', 'reply', ...names].map((name, i) => make('th', { scope: 'col', class: i > 1 ? 'number' : '' }, name)), rows);
    table.removeAttribute('tabindex'); // its rows are in the tab order
    table.addEventListener('keydown', (event) => {
      const all = now.replies;
      const to = all.indexOf(now.reply) + ({ ArrowUp: -1, ArrowDown: 1 }[event.key] || 0);
      if (!all[to] || all[to] === now.reply) return;
      event.preventDefault();
      take(all[to]);
    });
    return table;
  };

  const trendCard = (now) => {
    const name = ['reward', 'loss'].find((one) => Report.column(now.run, one)) || Object.keys(now.run.columns)[0];
    if (!name) return null;
    return new Report.Card(`${name} of ${now.run.name}`, () => [
      { run: now.run, label: name, colour: Report.colour(now.run.index), dash: Report.dash(now.run), points: Report.points(now.run, name) },
    ], { under: 'Click, or go along and press Enter, for the samples nearest to a step.' }).element;
  };

  const draw = () => {
    if (!withSamples().length) {
      Report.fill('samples-view', make('p', { class: 'note' }, 'No samples: train writes some at every evaluation (eval.every).'));
      return;
    }
    const now = current();
    const choose = (changes) => {
      keep({ run: now.run.path, step: now.step, dialogue: now.dialogue, turn: now.turn, candidate: now.reply.candidate, token: null, ...changes });
      draw();
    };
    const history = now.sample.histories[now.reply.history];
    const select = make('select', { id: 'samples-run', onchange: (event) => choose({ run: event.target.value }) },
      ...now.runs.map((run) => make('option', { value: run.path, selected: run === now.run }, Report.label(run))));
    Report.fill('samples-view',
      make('div', { class: 'panes' },
        make('div', {},
          now.runs.length > 1 ? make('p', {}, make('label', {}, 'Run ', select)) : null,
          trendCard(now),
          make('h3', {}, 'Step'), choices('Step', now.steps, now.step, (step) => choose({ step })),
          make('h3', {}, 'Dialogue'), choices('Dialogue', now.dialogues, now.dialogue, (dialogue) => choose({ dialogue, turn: null, candidate: null })),
          now.turns.length > 1 ? make('h3', {}, 'Turn') : null,
          now.turns.length > 1 ? choices('Turn', now.turns, now.turn, (turn) => choose({ turn, candidate: null })) : null,
          conversation(history)),
        make('div', {}, make('h3', {}, `Replies to turn ${now.turn}`), replyRows(now, choose))),
      Report.tokenView(history, now.reply, (changes) => keep(changes)));
    Report.redraw();
  };

  // From a point of a curve.
  Report.showSamples = (run, step) => {
    if (!run || !run.samples.length) return;
    keep({ run: run.path, step, token: null });
    draw();
    Report.at('samples').scrollIntoView();
    const step0 = document.querySelector('[aria-label="Step"] button[aria-pressed="true"]');
    if (step0) step0.focus({ preventScroll: true });
  };
  Report.starts.push(draw);
})();
