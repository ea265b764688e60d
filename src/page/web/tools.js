'use strict';
// What all parts of the page use.  Texts of runs become text nodes, never markup.
const Report = { starts: [] };

(() => {
  const parts = (name) => [...document.querySelectorAll(`script[data-part="${name}"]`)]
    .map((script) => JSON.parse(script.textContent));
  // What a run is a control by: a control of attention, or rewards that say nothing.
  const controlOf = (settings) => {
    if (settings.control && settings.control !== 'none') return settings.control;
    const given = (settings['reward.sources'] || '').split(',').map((one) => one.split(':'))
      .filter(([, weight]) => Number(weight) !== 0).map(([name]) => name);
    return given.every((name) => ['constant', 'random'].includes(name)) ? `reward ${given.join(', ')}` : '';
  };
  Report.page = parts('page')[0];
  Report.runs = parts('run');
  const samples = parts('samples');
  const notes = parts('notes');
  Report.runs.forEach((run, i) => {
    run.index = i;
    run.samples = samples[i] || [];
    run.notes = notes[i] || [];
    run.control = controlOf(run.settings);
  });

  // make('td', {class: 'number'}, 'text', child, ...)
  Report.make = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? '' : value);
    }
    made.append(...children.filter((child) => child !== undefined && child !== null));
    return made;
  };
  Report.at = (id) => document.getElementById(id);
  Report.fill = (id, ...children) => {
    const place = typeof id === 'string' ? Report.at(id) : id;
    place.replaceChildren(...children.filter(Boolean));
    return place;
  };

  Report.number = (value, digits = 4) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return '-';
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e7) return String(value);
    if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
    return String(Number(value.toPrecision(digits)));
  };

  // What was chosen outlives a reload while the tab is open.
  const key = 'regard report ' + Report.runs.map((run) => run.path).join(' ');
  Report.state = {};
  try {
    Report.state = JSON.parse(sessionStorage.getItem(key)) || {};
  } catch (error) { /* a page that may not store begins anew */ }
  Report.keep = (changes) => {
    Object.assign(Report.state, changes);
    try {
      sessionStorage.setItem(key, JSON.stringify(Report.state));
    } catch (error) { /* likewise */ }
  };

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  Report.style = style;
  Report.colour = (index) => style(`--run-${index % 8}`);
  // Controls are dashed, and so is who shares a colour with an earlier run.
  Report.dash = (run) => (run.control ? [6, 4] : run.index >= 8 ? [2, 3] : []);
  Report.label = (run) => run.name + (run.control ? ` (control: ${run.control})` : '');
  Report.swatch = (run) => {
    const made = Report.make('span', { class: 'swatch' + (Report.dash(run).length ? ' dashed' : ''), 'aria-hidden': 'true' });
    made.style.borderTopColor = `var(--run-${run.index % 8})`;
    return made;
  };

  Report.column = (run, name) => (Object.hasOwn(run.columns, name) ? run.columns[name] : null);
  // [{x: step, y: value, e: error}] of what is there.
  Report.points = (run, name) => {
    const values = Report.column(run, name);
    if (!values) return [];
    const errors = Report.column(run, name + '_error');
    const made = [];
    values.forEach((y, i) => {
      if (y !== null) made.push({ x: run.steps[i], y, e: errors && errors[i] !== null ? errors[i] : 0 });
    });
    return made;
  };
  Report.names = () => [...new Set(Report.runs.flatMap((run) => Object.keys(run.columns)))];

  // A table that scrolls by itself, by keyboard too.
  Report.table = (label, head, rows, extra = '') => Report.make(
    'div', { class: 'table ' + extra, tabindex: '0', role: 'region', 'aria-label': label },
    Report.make('table', {},
      Report.make('thead', {}, Report.make('tr', {}, ...head)),
      Report.make('tbody', {}, ...rows)));

  // Arrow keys among the elements that match within a place; one of them is in the tab order.
  Report.rove = (place, selector, previous, next) => {
    place.addEventListener('keydown', (event) => {
      const all = [...place.querySelectorAll(selector)];
      const now = all.indexOf(event.target);
      if (now < 0) return;
      const to = event.key === previous ? now - 1 : event.key === next ? now + 1
        : event.key === 'Home' ? 0 : event.key === 'End' ? all.length - 1 : now;
      if (to === now || to < 0 || to >= all.length) return;
      event.preventDefault();
      all[now].tabIndex = -1;
      all[to].tabIndex = 0;
      all[to].focus();
    });
  };
})();
