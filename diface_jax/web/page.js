'use strict';
const PAGE = 10, MOST = 1000, MOST_BYTES = 50e6, TRIES = 5;
const IMAGES = /\.(jpe?g|png|webp|avif|hei[cf]|tiff?|bmp|gif)$/i;
const $ = (id) => document.getElementById(id);
// Photos to search by, {probe, picture, size, notes, name}: all of this page, and the one in use.
const taken = [];
let probe = null, reading = 0;
let shown = [], wanted = PAGE, searched = 0, turn = 0, viewed = null;

// --- building blocks ---

function make(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function button(text, act, kind) {
  const element = make('button', text, kind);
  element.type = 'button';
  element.onclick = act;
  return element;
}

// Control characters, and those that turn the direction of writing, as their codes.
function plain(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function count(number, one, several) { return `${number.toLocaleString()} ${number === 1 ? one : several}`; }

function say(text) { $('status').textContent = text; }

function fail(error) {
  $('error').textContent = error.message;
  $('error').hidden = false;
  say(error.message);
}

async function request(path, options, tries = TRIES) {
  let response;
  try { response = await fetch(path, options); }
  catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The program does not answer. Is it still running?');
  }
  if (response.ok) return response;
  // The server is busy, or was asked too often.
  const seconds = Number(response.headers.get('Retry-After'));
  if (seconds && tries > 1) {
    await new Promise((done) => { setTimeout(done, 1000 * seconds); });
    return request(path, options, tries - 1);
  }
  if (response.status === 401) throw new Error('You are not logged in any more: reload the page.');
  const said = await response.json().catch(() => ({}));
  throw new Error(typeof said.error === 'string' ? said.error : `The request failed (${response.status}).`);
}

async function ask(path, options) { return (await request(path, options)).json(); }

function copyButton(element, text, what, also = () => '') {
  const label = element.textContent;
  element.onclick = async () => {
    try { await navigator.clipboard.writeText(text()); element.textContent = 'Copied'; say(`${what} copied${also()}`); }
    catch { element.textContent = 'Not allowed'; say(`The browser does not allow copying. ${what}: ${text()}`); }
    setTimeout(() => { element.textContent = label; }, 1500);
  };
  return element;
}

// --- the gallery ---

async function refresh() {
  try {
    const has = await ask('/api/gallery');
    $('count').textContent = has.entries
      ? `${count(has.entries, 'face', 'faces')}${has.photos ? ` in ${count(has.photos, 'photograph', 'photographs')}` : ''}`
      : 'No faces yet';
    $('add').hidden = !has.takes_photographs;
    $('no-photographs').hidden = has.takes_photographs;
    $('probe').hidden = !has.takes_probe_photos;
    $('log-out').hidden = !has.user;
    $('log-out').textContent = `Log out ${plain(has.user)}`;
    if (!has.takes_photographs) document.title = $('title').textContent = 'Search simulated people';
    if (!has.entries) $('add').open = true;
    offer(has.choices);
  } catch (error) { $('count').replaceChildren(make('span', error.message, 'error')); }
}

function offer(choices) {
  $('people').replaceChildren(...choices.people.map((name) => new Option(name, name)));
  const chosen = $('f-tag').value;
  const tags = Object.entries(choices.tags).flatMap(([name, values]) => values.map((value) => [name, value]));
  $('f-tag').replaceChildren(new Option('any', ''), ...tags.map(([name, value]) => new Option(plain(`${name}: ${value}`), `${name}=${value}`)));
  chooseTag(chosen);
  for (const id of ['f-since', 'f-until']) {
    $(id).min = choices.first_taken || '';
    $(id).max = choices.last_taken || '';
    $(id).disabled = !choices.first_taken;
    $(id).title = choices.first_taken ? '' : 'No photograph of this gallery says when it was taken';
  }
}

// A link may name a tag that is not on offer.
function chooseTag(value) {
  if (value && ![...$('f-tag').options].some((option) => option.value === value)) $('f-tag').add(new Option(plain(value), value));
  $('f-tag').value = value;
}

// --- adding photographs ---

async function add(files) {
  const photos = files.filter(({ file, path }) => IMAGES.test(path) || file?.type.startsWith('image/'));
  const others = files.length - photos.length;
  if (!files.length) return;
  const bar = make('progress'), line = make('p'), problems = make('ul');
  let faces = 0, known = 0, stopped = false;
  const stop = button('Stop', () => { stopped = true; }, 'small');
  bar.max = photos.length;
  bar.setAttribute('aria-label', 'Adding photographs');
  $('adding').replaceChildren(bar, line, stop, problems);
  say(`Adding ${count(photos.length, 'photograph', 'photographs')}`);
  for (const [number, { file, path }] of photos.entries()) {
    if (stopped) break;
    line.textContent = `${number + 1} of ${photos.length}: ${plain(path)}`;
    try {
      if (!file) throw new Error('the browser cannot read it');
      const report = await send(file, path);
      faces += report.faces;
      known += report.copies + report.unchanged;
      for (const why of Object.values(report.problems)) problems.append(make('li', plain(`${path}: ${why}`)));
    } catch (error) { problems.append(make('li', plain(`${path}: ${error.message}`), 'error')); }
    bar.value = number + 1;
  }
  bar.remove();
  stop.remove();
  const failed = problems.children.length;
  line.textContent = [count(faces, 'new face', 'new faces'), known && `${known} already there`,
    failed && `${count(failed, 'photograph', 'photographs')} without one, see below`,
    others && `${count(others, 'file is no photograph', 'files are no photographs')}`, stopped && 'stopped'].filter(Boolean).join('; ');
  say(line.textContent);
  $('files').value = $('folder').value = '';
  refresh();
}

function send(file, path) {
  const folder = path.split('/').at(-2) || '';
  const person = $('by-folder').checked ? folder : $('person').value;
  return ask(`/api/photos?${new URLSearchParams({ name: path, person })}`, { method: 'POST', body: file });
}

// Files of a drop, also those in folders, with their paths.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) return [{ file: await new Promise((done) => entry.file(done, () => done(null))), path }];
  if (entry.name.startsWith('.')) return [];
  const reader = entry.createReader(), inside = [];
  // A reader gives up to 100 entries at a time.
  for (let batch; (batch = await new Promise((done) => reader.readEntries(done, () => done([])))).length;) inside.push(...batch);
  return (await Promise.all(inside.map(filesIn))).flat();
}

function chosen(input) { return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })); }

// --- the photo of the person sought ---

async function takeProbe(file) {
  if (!file) return;
  const mine = ++reading;
  say('The photo is being read');
  try {
    if (file.size > MOST_BYTES) throw new Error(`${plain(file.name)} has more than ${MOST_BYTES / 1e6} megabytes: give a smaller photo`);
    const answer = await ask('/api/probe', { method: 'POST', body: file });
    if (mine !== reading) return;
    taken.push({ ...answer, name: file.name });
    showProbe(taken.at(-1));
    await begin();
  } catch (error) { if (mine === reading) fail(new Error(sentence(error.message))); }
  $('probe-file').value = '';
}

function showProbe(photo) {
  probe = photo;
  $('probe-image').hidden = $('remove-probe').hidden = !probe;
  $('probe-image').src = probe ? probe.picture : 'data:,';
  $('choose-probe').textContent = probe ? 'Choose another' : 'choose a photo';
  $('probe-about').textContent = probe
    ? `Searches by the face in ${plain(probe.name)}, which is ${probe.size}. Links leave it out.`
    : 'A photo of the person may help, also a poor one: drop or paste it here, or';
}

function removeProbe() {
  reading++;
  showProbe(null);
  $('choose-probe').focus();
  if ($('text').value.trim()) return begin();
  turn++;
  rest();
  $('answer').hidden = true;
  remember();
  say('The photo is removed');
}

// --- the link: description and filters after the # ---

const FIELDS = { q: 'text', person: 'f-person', tag: 'f-tag', path: 'f-path', since: 'f-since', until: 'f-until' };

function link() {
  const values = new URLSearchParams();
  for (const [name, id] of Object.entries(FIELDS)) if ($(id).value.trim()) values.set(name, $(id).value.trim());
  if (probe) values.set('photo', 'left-out');
  if ($('f-once').checked) values.set('once', '1');
  if (wanted > PAGE) values.set('show', wanted);
  return `#${values}`;
}

// An entry of the history keeps which photo it was.
function remember(how = 'pushState') { history[how](taken.indexOf(probe), '', link()); }

function readLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  for (const [name, id] of Object.entries(FIELDS)) if (id !== 'f-tag') $(id).value = values.get(name) || '';
  chooseTag(values.get('tag') || '');
  $('f-once').checked = values.has('once');
  wanted = Math.min(MOST, Math.max(PAGE, Number(values.get('show')) || PAGE));
  tellFilters();
  showProbe((values.has('photo') && taken[history.state]) || null);
  tellMissing(values.has('photo') && !probe);
  return values.has('q') || Boolean(probe);
}

function tellMissing(isMissing) {
  $('missing').hidden = !isMissing;
  if (isMissing) say($('missing').textContent);
}

function where() {
  const conditions = [];
  const [tag, ...value] = $('f-tag').value.split('=');
  if ($('f-person').value.trim()) conditions.push(['person', $('f-person').value.trim()]);
  if (tag) conditions.push([tag, value.join('=')]);
  if ($('f-path').value.trim()) conditions.push(['photo', `*${$('f-path').value.trim()}*`]);
  if ($('f-since').value) conditions.push(['since', $('f-since').value]);
  if ($('f-until').value) conditions.push(['until', $('f-until').value]);
  return conditions;
}

function tellFilters() {
  const active = where().length + $('f-once').checked;
  $('filter-count').textContent = active ? ` (${active} in use)` : '';
  if (active) $('filters').open = true;
}

// --- searching ---

async function search(focus) {
  const mine = ++turn;
  $('go').setAttribute('aria-disabled', 'true');
  $('go').textContent = 'Searching…';
  say('Searching');
  try {
    const answer = await ask('/api/search', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...given(), k: wanted, people: $('f-once').checked, where: where() }),
    });
    if (mine === turn) show(answer, focus);
  } catch (error) {
    if (mine !== turn) return;
    $('answer').hidden = true;
    shown = [];
    fail(error);
  }
  if (mine === turn) rest();
}

function rest() {
  $('go').removeAttribute('aria-disabled');
  $('go').textContent = 'Search';
}

// What is given of the person sought.
function given() {
  const texts = probe && !$('text').value.trim() ? [] : [$('text').value];
  return { texts, probe: probe ? probe.probe : '' };
}

function begin() {
  wanted = PAGE;
  tellMissing(false);
  tellFilters();
  if (link() !== location.hash || (history.state ?? -1) !== taken.indexOf(probe)) remember();
  return search();
}

function show(answer, focus) {
  const before = focus === 'new' ? shown.length : 0;
  searched = answer.mode === 'identify' ? answer.gallery.people_searched : answer.gallery.entries_searched;
  $('error').hidden = true;
  $('answer').hidden = false;
  $('heading').textContent = answer.summary.replace(/^./, (letter) => letter.toUpperCase());
  $('probe-words').textContent = answer.probe_in_words;
  $('notes').replaceChildren(...answer.notes.map((note) => make('li', plain(note))));
  explain(answer);
  shown = answer.results;
  if (!before) $('results').replaceChildren();
  $('results').append(...shown.slice(before).map(card));
  $('more').hidden = shown.length < wanted || wanted >= Math.min(MOST, searched);
  suggest(answer.next_question);
  say([answer.summary, answer.probe_in_words, ...answer.notes].filter(Boolean).join('. '));
  if (focus === 'heading') $('heading').focus();
  if (focus === 'new') $('results').children[before]?.querySelector('button').focus();
}

function explain(answer) {
  $('rule').hidden = !answer.results.length;
  $('match-rule').textContent = answer.match_rule;
  const names = { likelihood: 'about 1 in 30', expected_false_matches: 'by chance', score: 'score', phrases: '✓ fits, ~ unclear, ✗ does not fit' };
  const told = Object.entries(names).filter(([key]) => answer.meaning[key]);
  $('meaning').replaceChildren(...told.flatMap(([key, name]) => [make('dt', name), make('dd', sentence(answer.meaning[key]))]));
}

function sentence(text) { return text.replace(/^./, (letter) => letter.toUpperCase()); }

function suggest(next) {
  $('ask').hidden = !next;
  if (!next) return;
  $('question').textContent = `It would help most to know: ${next.ask}`;
  $('answers').replaceChildren(...next.answers.map((choice) => button(choice.say, () => {
    $('text').value = `${$('text').value.trim().replace(/[.,;]*$/, '.')} ${choice.sentence}`;
    wanted = PAGE;
    remember();
    search('heading');
  })));
}

// --- a result ---

function nameOf(face) {
  return plain(face.person || face.name || (face.photo || '').split('/').pop() || `entry ${face.entry}`);
}

function labelOf(face) { return `face ${face.rank}: ${nameOf(face)}`; }

function faceImage(face) {
  const image = make('img');
  image.src = `/api/faces/${face.entry}`;
  image.alt = sentence(labelOf(face));
  image.loading = 'lazy';
  return image;
}

// Imported embeddings have none.
function hasPicture(face) { return Boolean(face.box); }

function kindOf(face) { return face.match ? 'match' : 'lead'; }

function fit(nats) {
  if (nats >= 0.5) return { sign: '✓', word: 'fits', kind: 'for' };
  return nats <= -0.5 ? { sign: '✗', word: 'does not fit', kind: 'against' } : { sign: '~', word: 'unclear', kind: 'unclear' };
}

function phraseList(face, numbers) {
  const list = make('ul', undefined, 'phrases');
  for (const { phrase, nats } of face.phrases) {
    const { sign, word, kind } = fit(nats), line = make('li'), mark = make('b', sign, kind);
    mark.setAttribute('aria-hidden', 'true');
    line.append(mark, make('span', plain(phrase)));
    if (numbers) line.append(make('span', `${word}, ${nats < 0 ? '−' : '+'}${Math.abs(nats).toFixed(1)}`, `number ${kind}`));
    else line.append(make('span', word, 'unseen'));
    list.append(line);
  }
  return list;
}

function card(face) {
  const item = make('li', undefined, `card ${kindOf(face)}`);
  const open = button(undefined, () => view(face), hasPicture(face) ? 'face' : 'face bare');
  open.setAttribute('aria-label', `Open ${face.photo ? 'the photo of ' : ''}${labelOf(face)}, ${face.likelihood}`);
  open.append(hasPicture(face) ? faceImage(face) : 'no picture', make('span', face.rank, 'rank'));
  const about = make('div', undefined, 'about'), from = make('div', undefined, 'from');
  from.append(make('span', kindOf(face), 'kind'), ' · ', make('span', nameOf(face), 'name'));
  from.title = plain(face.photo || '');
  about.append(make('div', face.likelihood, 'likelihood'), from, phraseList(face));
  item.append(open, about);
  return item;
}

// --- the viewer ---

async function view(face) {
  viewed = face;
  $('viewer-title').textContent = sentence(labelOf(face));
  $('facts').replaceChildren(...facts(face));
  const at = shown.indexOf(face);
  $('previous').disabled = at <= 0;
  $('next').disabled = at >= shown.length - 1;
  showSmall(face, 'The photograph is being opened…');
  if (!$('viewer').open) $('viewer').showModal();
  if (!face.photo) return showSmall(face, 'This entry was imported without a photograph.');
  try {
    const response = await request(`/api/photos/${face.entry}`);
    const blob = await response.blob();
    if (viewed === face) showPhoto(face, blob, Number(response.headers.get('X-Photo-Width')), Number(response.headers.get('X-Photo-Height')));
  } catch (error) { if (viewed === face) showSmall(face, sentence(error.message)); }
}

function setImage(source) {
  if ($('photo-image').src.startsWith('blob:')) URL.revokeObjectURL($('photo-image').src);
  $('photo-image').src = source;
}

function showSmall(face, note) {
  setImage(hasPicture(face) ? `/api/faces/${face.entry}` : 'data:,');
  $('photo').hidden = !hasPicture(face);
  $('photo-image').alt = sentence(labelOf(face));
  $('photo').style.width = 'min(100%, 20rem)';
  $('frame').hidden = true;
  $('photo-note').textContent = note;
}

function showPhoto(face, blob, width, height) {
  setImage(URL.createObjectURL(blob));
  // As large as there is room, but a small photograph not as a large blur.
  $('photo').style.width = `min(100%, ${65 * width / height}dvh, ${Math.max(width, 480)}px)`;
  $('photo-image').alt = `Photograph with ${labelOf(face)}`;
  const [left, top, right, bottom] = face.box, style = $('frame').style;
  style.left = `${100 * left / width}%`;
  style.top = `${100 * top / height}%`;
  style.width = `${100 * (right - left) / width}%`;
  style.height = `${100 * (bottom - top) / height}%`;
  $('frame').hidden = false;
  $('photo-note').textContent = face.taken ? `Taken ${new Date(face.taken).toLocaleString([], { dateStyle: 'long', timeStyle: 'short' })}` : '';
}

function facts(face) {
  const likely = make('p');
  likely.append(make('span', sentence(face.likelihood), 'likelihood'), make('span', face.match ? ': a match' : ': a lead', 'kind'));
  const numbers = make('p', `By chance: ${face.expected_false_matches.toPrecision(2)} of ${searched.toLocaleString()}. Score: ${face.score.toFixed(3)}.`, 'quiet');
  const people = [face.person, ...(face.other_people || [])].filter(Boolean).join(', ');
  const told = [...(people ? [['Person', people]] : []), ...Object.entries(face.tags)];
  const list = make('dl');
  for (const [name, value] of told) list.append(make('dt', plain(name)), make('dd', plain(value)));
  const acts = make('div', undefined, 'row');
  if (face.photo) acts.append(copyButton(button('Copy path', null, 'small'), () => face.photo, 'Path'));
  const remove = button('Remove this face', () => confirmRemoval(face), 'small');
  remove.setAttribute('aria-label', `Remove ${labelOf(face)}`);
  acts.append(remove);
  const path = face.photo ? [make('p', plain(face.photo), 'path')] : [];
  return [likely, phraseList(face, true), numbers, list, ...path, acts];
}

function step(by) {
  const face = shown[shown.indexOf(viewed) + by];
  if (face) view(face);
}

function closed() {
  setImage('data:,');
  const at = shown.indexOf(viewed);
  viewed = null;
  // The result that was looked at last may not be the one whose button opened the viewer.
  $('results').children[at]?.querySelector('button').focus();
}

// --- removing ---

function confirmRemoval(face) {
  $('confirm-image').hidden = !hasPicture(face);
  $('confirm-image').src = hasPicture(face) ? `/api/faces/${face.entry}` : 'data:,';
  $('confirm-image').alt = sentence(labelOf(face));
  $('confirm-text').textContent = [sentence(labelOf(face)), plain(face.photo || ''), `entry ${face.entry}`].filter(Boolean).join('\n');
  $('remove').onclick = () => remove(face);
  $('confirm').showModal();
  $('keep').focus();
}

async function remove(face) {
  $('confirm').close();
  const at = shown.indexOf(face);
  try { await ask(`/api/entries/${face.entry}`, { method: 'DELETE' }); }
  catch (error) { $('photo-note').textContent = error.message; return; }
  $('viewer').close();
  shown = shown.filter((other) => other !== face);
  $('results').children[at].remove();
  say(`Removed ${labelOf(face)}`);
  const next = $('results').children[Math.min(at, shown.length - 1)];
  (next ? next.querySelector('button') : $('heading')).focus();
  refresh();
}

async function logOut() {
  try { await request('/logout', { method: 'POST' }); }
  catch (error) { return fail(error); }
  location.assign('/');
}

// --- what starts it all ---

$('search').onsubmit = (event) => { event.preventDefault(); begin(); };
$('text').onkeydown = (event) => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); $('search').requestSubmit(); } };
$('filters').onchange = () => { if (($('text').value.trim() || probe) && !$('answer').hidden) begin(); else tellFilters(); };
$('clear').onclick = () => {
  for (const id of ['f-person', 'f-tag', 'f-path', 'f-since', 'f-until']) $(id).value = '';
  $('f-once').checked = false;
  $('filters').onchange();
};
$('more').onclick = () => { wanted = Math.min(MOST, wanted + PAGE); remember('replaceState'); search('new'); };
copyButton($('copy-link'), () => location.href, 'Link', () => (probe ? '. It leaves out the photo' : ''));
$('log-out').onclick = logOut;
$('close').onclick = () => $('viewer').close();
$('previous').onclick = () => step(-1);
$('next').onclick = () => step(1);
$('viewer').onclose = closed;
$('viewer').onkeydown = (event) => { if (event.key === 'ArrowLeft') step(-1); if (event.key === 'ArrowRight') step(1); };
$('keep').onclick = () => $('confirm').close();
for (const [choose, input] of [['choose-files', 'files'], ['choose-folder', 'folder']]) {
  $(choose).onclick = () => $(input).click();
  $(input).onchange = () => add(chosen($(input)));
}
$('choose-probe').onclick = () => $('probe-file').click();
$('probe-file').onchange = () => takeProbe($('probe-file').files[0]);
$('remove-probe').onclick = removeProbe;
document.addEventListener('paste', (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith('image/'));
  if (file && !$('probe').hidden && !document.querySelector('dialog[open]')) { event.preventDefault(); takeProbe(file); }
});
// A photo that is dropped on the form is searched by; others are added.
function isForProbe(event) { return !$('probe').hidden && Boolean(event.target.closest?.('#search')); }
function highlight(zone) { for (const id of ['drop', 'probe']) $(id).classList.toggle('over', id === zone); }
for (const name of ['dragenter', 'dragover']) document.addEventListener(name, (event) => {
  event.preventDefault();
  if (isForProbe(event)) return highlight('probe');
  if ($('add').hidden) return;
  $('add').open = true;
  highlight('drop');
});
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) highlight(''); });
document.addEventListener('drop', async (event) => {
  event.preventDefault();
  highlight('');
  if (isForProbe(event)) takeProbe(event.dataTransfer.files[0]);
  else if (!$('add').hidden) add(await dropped(event.dataTransfer));
});
addEventListener('popstate', () => { if (readLink()) search(); else $('answer').hidden = true; });
refresh();
if (readLink()) search();
