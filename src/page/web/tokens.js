'use strict';
// One reply as tokens over its history: colours by a number of each token, and the history lit by
// what a token attends to.
(() => {
  const { make, number } = Report;
  const words = {
    salient_mass: 'mass on salient tokens', attention_entropy: 'entropy of attention', token_entropy: 'entropy of the choice',
    logp: 'log-probability', ratio: 'ratio new / old', credit: 'credit', special_mass: 'mass on special tokens',
    first_mass: 'mass on the first token', history_mass: 'mass on the history', reply_mass: 'mass on the reply',
  };
  const order = Object.keys(words);
  // Where a scale has a middle, one colour stands on each side of it.
  const middles = { ratio: 1, credit: 0 };
  Report.tokenMeasures = (reply) => Object.keys(reply.tokens)
    .sort((a, b) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99));
  Report.measureName = (name) => (Object.hasOwn(words, name) ? words[name] : name);

  const STRONGEST = 0.55;
  const scaleOf = (name, values) => {
    const there = values.filter((value) => value !== null);
    const low = Math.min(...there);
    const high = Math.max(...there);
    if (Object.hasOwn(middles, name)) {
      const middle = middles[name];
      const reach = Math.max(high - middle, middle - low) || 1;
      return { low: middle - reach, high: middle + reach, middle, strength: (value) => (value - middle) / reach };
    }
    if (name === 'logp') return { low, high: 0, strength: (value) => -(low ? value / low : 0) };
    const from = low < 0 ? low : 0;
    return { low: from, high, strength: (value) => (high > from ? (value - from) / (high - from) : 0) };
  };
  const paint = (strength) => `rgba(var(${strength < 0 ? '--low' : '--high'}), ${(STRONGEST * Math.min(1, Math.abs(strength))).toFixed(3)})`;

  // A piece as it is read; line ends show, and go on a new line.
  const shownText = (piece) => String(piece).replace(/\n/g, '↵\n');

  const historyView = (history, marks) => {
    const pieces = history.pieces || history.ids.map((id) => `⟨${id}⟩`);
    const seen = (i) => history.visible[i] !== '0';
    return pieces.flatMap((piece, i) => {
      const special = piece === '';
      // Where markers stand behind words another message begins.
      const turns = i > 0 && !seen(i) && seen(i - 1) && pieces.slice(i).some((one, k) => one !== '' && seen(i + k));
      const text = special ? '·' : shownText(piece);
      const classes = ['token', history.salient[i] === '1' ? 'salient' : '', history.visible[i] === '0' ? 'unseen' : '', special ? 'special' : ''];
      const made = make('span', { class: classes.join(' ').trim(), 'data-position': i }, text);
      marks.push(made);
      return turns ? [make('br'), made] : [made];
    });
  };

  // View of one reply; its place() is kept over reloads.
  Report.tokenView = (history, reply, chosen) => {
    const lights = [];
    const facts = make('div', { class: 'facts', role: 'status', 'aria-live': 'polite' });
    const measures = Report.tokenMeasures(reply);
    const historyBox = make('div', { class: 'tokens', tabindex: '0', role: 'region', 'aria-label': 'History' },
      ...historyView(history, lights));
    const scale = make('div', { class: 'scale' });
    const buttons = reply.pieces.map((piece, i) => make('button', {
      class: 'token' + (piece === '' ? ' special' : ''), type: 'button', tabindex: i ? '-1' : '0', 'data-token': i,
    }, piece === '' ? '·' : shownText(piece)));
    const replyBox = make('div', { class: 'tokens', role: 'group', 'aria-label': 'Reply, token by token; arrow keys go along' }, ...buttons);
    const select = make('select', {}, ...measures.map((name) => make('option', { value: name }, Report.measureName(name))));
    let held = null;

    const piece = (position) => {
      if (position < lights.length) return lights[position].textContent;
      const own = reply.pieces[position - lights.length];
      return own === undefined ? `position ${position}` : own || '·';
    };
    const attended = (i) => {
      const top = (reply.top && reply.top[i]) || [];
      const weight = (reply.weight && reply.weight[i]) || [];
      return top.map((position, k) => ({ position, weight: weight[k] })).filter((one) => one.position >= 0 && one.weight > 0);
    };

    const light = (i) => {
      [...lights, ...buttons].forEach((one) => {
        one.classList.remove('lit');
        if (one.dataset.position !== undefined) one.style.backgroundColor = '';
      });
      colour();
      if (i === null) {
        facts.replaceChildren('Point at a token of the reply, or go to it with the keyboard: what it attends to is lit in the history.');
        return;
      }
      const list = attended(i);
      const most = Math.max(...list.map((one) => one.weight), 1e-9);
      list.forEach((one) => {
        const target = one.position < lights.length ? lights[one.position] : buttons[one.position - lights.length];
        if (!target) return;
        target.classList.add('lit');
        target.style.backgroundColor = `rgba(var(--lit), ${(0.15 + 0.55 * one.weight / most).toFixed(3)})`;
      });
      facts.replaceChildren(
        make('div', {}, `token ${i + 1} of ${buttons.length} `, make('b', {}, `“${reply.pieces[i] || '·'}”`), ': ',
          measures.map((name) => `${Report.measureName(name)} ${number(reply.tokens[name][i])}`).join(', ')),
        ...list.map((one) => {
          const bar = make('span', { class: 'bar', 'aria-hidden': 'true' });
          bar.style.width = `${(8 * one.weight).toFixed(2)}rem`;
          return make('div', {}, bar, `${number(one.weight, 3)} on `, make('b', {}, `“${piece(one.position)}”`),
            one.position < lights.length ? '' : ' (of the reply)');
        }),
        list.length ? '' : make('div', {}, 'Its attention was not recorded.'));
    };

    const colour = () => {
      const name = select.value;
      if (!name) return;
      const values = reply.tokens[name];
      const is = scaleOf(name, values);
      buttons.forEach((button, i) => {
        button.style.backgroundColor = values[i] === null ? '' : paint(is.strength(values[i]));
      });
      const bar = make('i', { 'aria-hidden': 'true' });
      bar.style.background = is.middle === undefined
        ? `linear-gradient(to right, ${paint(is.strength(is.low))}, ${paint(is.strength(is.high))})`
        : `linear-gradient(to right, ${paint(-1)}, ${paint(0)}, ${paint(1)})`;
      scale.replaceChildren(number(is.low, 3), bar, number(is.high, 3));
    };

    const press = (i) => {
      held = held === i ? null : i;
      buttons.forEach((button, k) => button.setAttribute('aria-pressed', String(k === held)));
      light(held);
      chosen({ token: held });
    };
    buttons.forEach((button, i) => {
      button.addEventListener('mouseenter', () => light(i));
      button.addEventListener('mouseleave', () => light(held));
      button.addEventListener('focus', () => light(i));
      button.addEventListener('blur', () => light(held));
      button.addEventListener('click', () => press(i));
    });
    Report.rove(replyBox, 'button.token', 'ArrowLeft', 'ArrowRight');
    if (measures.includes(Report.state.measure)) select.value = Report.state.measure;
    select.addEventListener('change', () => {
      Report.keep({ measure: select.value });
      light(held);
    });
    if (Number.isInteger(Report.state.token) && Report.state.token < buttons.length) held = Report.state.token;
    if (held !== null) buttons[held].setAttribute('aria-pressed', 'true');
    light(held);
    return make('div', { id: 'token-view' },
      make('h3', {}, 'History'),
      history.pieces ? null : make('p', { class: 'note' }, 'This run did not record what its history\'s tokens say; they are shown as ids.'),
      historyBox,
      make('p', { class: 'note' }, 'Underlined: salient. Italic: does not count. Lit: what the chosen token attends to most.'),
      make('h3', {}, 'Reply'),
      make('div', { class: 'row' }, make('label', {}, 'Coloured by ', select), scale),
      replyBox, facts);
  };
})();
