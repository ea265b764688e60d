'use strict';
// Settings of all runs in a table: those in which they differ, those that are no defaults, or all.
(() => {
  const { make } = Report;
  const views = { differ: 'where runs differ', changed: 'what is not the default', all: 'all' };
  const keys = [...new Set(Report.runs.flatMap((run) => Object.keys(run.settings)))];
  const value = (run, key) => (Object.hasOwn(run.settings, key) ? run.settings[key] : null);
  const fallback = (key) => (Object.hasOwn(Report.page.defaults, key) ? Report.page.defaults[key] : null);
  const differs = (key) => Report.runs.some((run) => value(run, key) !== value(Report.runs[0], key));
  const changed = (key) => Report.runs.some((run) => value(run, key) !== null && value(run, key) !== fallback(key));
  Report.differing = () => keys.filter(differs);

  const cell = (run, key) => {
    const text = value(run, key);
    const other = text !== fallback(key);
    return make('td', { class: 'value ' + (text === null ? 'default' : other ? 'other' : '') },
      text === null ? 'no such key' : text === '' ? '""' : text);
  };

  const draw = () => {
    const which = Report.at('settings-which').value;
    const part = Report.at('settings-filter').value.trim().toLowerCase();
    const shown = keys.filter((key) => (which === 'all' || (which === 'differ' ? differs(key) : changed(key)))
      && key.toLowerCase().includes(part));
    Report.at('settings-said').textContent = `${shown.length} of ${keys.length} keys; what is bold is not the default of ${Report.page.program}`;
    Report.fill('settings-table', shown.length ? Report.table('Settings',
      [make('th', { scope: 'col' }, 'key'), make('th', { scope: 'col' }, 'default'),
        ...Report.runs.map((run) => make('th', { scope: 'col' }, Report.swatch(run), ' ', run.name))],
      shown.map((key) => make('tr', {}, make('th', { scope: 'row' }, key),
        make('td', { class: 'value default' }, fallback(key) === null ? '-' : fallback(key) === '' ? '""' : fallback(key)),
        ...Report.runs.map((run) => cell(run, key)))), 'high') : null);
  };

  Report.starts.push(() => {
    const which = Report.at('settings-which');
    const possible = Report.runs.length > 1 ? ['differ', 'changed', 'all'] : ['changed', 'all'];
    which.append(...possible.map((name) => make('option', { value: name }, views[name])));
    which.value = possible.includes(Report.state.settings) ? Report.state.settings : possible[0];
    which.addEventListener('change', () => {
      Report.keep({ settings: which.value });
      draw();
    });
    Report.at('settings-filter').addEventListener('input', draw);
    draw();
  });
})();
