package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// simJob is a replay or a redrive as the jobs topic has it, the processes that run it, and
// what it is judged by. Beside live delivery, one at a time.
type simJob struct {
	task   Task
	line   *line // what its lanes have to send, and sent
	stream string
	mended bool                     // of a redrive: the destination takes now what it refused
	meant  map[int32]map[int64]bool // of a redrive: the letters that were open when it was made

	owners []*jobOwner
	twice  bool // two processes have run it at once: the record of one may stand over the gaps of the other
}

// jobOwner is a process that runs a job: the real Job, without its loops.
type jobOwner struct {
	*owner
	job    *Job
	ending bool // everything is settled, and the last records are acknowledged or not
}

// simLetter is a record of the dead letters.
type simLetter struct {
	id     string
	uid    string // of the stream
	x      *simRecord
	marked bool
	ours   string // feed of the job that is under way, which has marked it; empty: it has not
	again  bool   // it was marked since the job began, and has come once more
}

// lettersOf are a partition's letters, by offset.
func (w *world) lettersOf(part int32) []*simLetter { return w.letters[part] }

// recordOf is the record that a lane speaks of by an offset.
func (w *world) recordOf(topicID string, part int32, offset int64) *simRecord {
	if topicID == lettersID {
		if ls := w.lettersOf(part); offset >= 0 && offset < int64(len(ls)) {
			return ls[offset].x
		}
		return nil
	}
	return w.recordEver(w.parts[part], offset)
}

const lettersID = "letters1"

// begin makes a job of what there is, if there is anything.
func (w *world) beginJob() {
	var alive []Spec
	for _, id := range []string{"s1", "s2"} {
		if s, ok := w.latest[id]; ok && s.State == SpecActive {
			alive = append(alive, s)
		}
	}
	if len(alive) == 0 {
		return
	}
	s := alive[w.tape.pick(len(alive))]
	w.jobs++
	t := Task{
		UID: fmt.Sprintf("job%d", w.jobs), Job: TaskReplay, Stream: s.ID, StreamUID: s.UID, Epoch: 1,
		Topic: "events", TopicID: w.events(),
	}
	j := &simJob{stream: s.ID, meant: map[int32]map[int64]bool{}}
	if redrive := w.tape.chance(50); redrive {
		t.Job, t.Topic, t.TopicID = TaskRedrive, "letters", lettersID
		j.mended = w.tape.chance(60)
		for _, p := range w.parts {
			for _, l := range w.lettersOf(p.number) {
				l.again, l.ours = false, ""
			}
			j.meant[p.number] = map[int64]bool{}
			for i, l := range w.lettersOf(p.number) {
				j.meant[p.number][int64(i)] = !l.marked && l.uid == s.UID && w.firstLetter(p.number, l.id) == int64(i)
			}
			if n := len(w.lettersOf(p.number)); n > 0 {
				t.Ranges = append(t.Ranges, Range{p.number, 0, int64(n)})
			}
		}
	} else {
		for _, p := range w.parts {
			from := p.start + int64(w.tape.pick(int(p.end-p.start)+1))
			to := from + int64(w.tape.pick(int(p.end-from)+1))
			if from < to {
				t.Ranges = append(t.Ranges, Range{p.number, from, to})
			}
		}
		if w.tape.chance(30) {
			t.Actions = []string{"t0*"}
		}
	}
	if len(t.Ranges) == 0 {
		return
	}
	t.Rate = []float64{0, 300}[w.tape.pick(2)]
	j.task = t
	j.line = &line{id: s.ID, uid: t.UID, base: 1, job: j, parts: map[int32]*lineProgress{}}
	w.lines = append(w.lines, j.line)
	w.job = j
	w.tell("%s %s of %s: %+v actions %v mended %t", t.Job, t.UID, s.ID, t.Ranges, t.Actions, j.mended)
	w.runJob()
}

// runJob has one more process take the job up.
func (w *world) runJob() {
	j := w.job
	s, ok := w.latest[j.stream]
	if !ok || s.UID != j.task.StreamUID || s.State == SpecDeleted || j.task.TopicID != lettersID && j.task.TopicID != w.events() {
		w.forgetJob("its stream or its topic is gone")
		return
	}
	if s.Paused() || len(j.owners) == 2 {
		return
	}
	if n := len(j.line.revisions); n == 0 || j.line.revisions[n-1].number < s.Revision {
		r := revision{number: s.Revision, epoch: 1, kinds: kindsOf(s, j.task.Actions), undecided: s.Filter == modelFilters[3].text}
		if s.OrganizationID != AllOrganizations {
			r.org = s.OrganizationID[0]
		}
		j.line.changed = j.line.changed || n > 0
		j.line.revisions = append(j.line.revisions, r)
	}
	w.names++
	o := &jobOwner{owner: &owner{
		w: w, progressID: w.progressID, name: fmt.Sprintf("J%d", w.names), fetch: map[int32]int64{},
		inFlight: map[string]bool{}, refusals: map[string]*refusalsOf{}, seeking: map[int32]bool{}, writes: map[queue][]write{}, awake: true,
	}}
	cfg := JobConfig{Task: j.task, Spec: s, Config: Config{
		Topics: Topics{Progress: "progress", DeadLetters: "letters"},
		IDs:    IDs{Cluster: "c", Progress: w.progress(), Streams: "streams"},
		Kind: sinks.Kind{
			Name:     "model",
			Defaults: func() sinks.Settings { return w.settings() },
			Open: func(_ sinks.Settings, opts sinks.Options) (sinks.Sink, error) {
				if opts.Replay != j.task.UID {
					w.fail("14: the sink of a job is not told of it")
				}
				if w.waiting > 0 {
					return &confirmingSink{&modelSink{w, o.owner}}, nil
				}
				return &modelSink{w, o.owner}, nil
			},
		},
		Retry:  Retry{Min: 1, Max: 1, Probe: 5 * time.Millisecond},
		Budget: NewBudget(w.memory, 1), InFlight: NewSlots(SlotsConfig{Max: w.slots, MaxSlow: 1, CatchUp: 1}), Metrics: w.metrics, Log: zap.NewNop(),
	}}
	if j.task.Job == TaskRedrive {
		cfg.Letters = &simLetters{w: w, o: o.owner, open: map[int32]map[int64]LetterOrigin{}}
	}
	job, err := OpenJob(cfg)
	if err != nil {
		w.fail("OpenJob: %v", err)
		return
	}
	k := simKafka{w, o.owner}
	job.g.out, job.g.reader, job.g.offsets = k, k, k
	if cfg.Letters != nil {
		job.g.reader = letterSource{source: k, topic: "letters", from: cfg.Letters}
	}
	o.job, o.g = job, job.g
	for _, r := range j.task.Ranges {
		if err := job.open(context.Background(), r); err != nil {
			w.fail("open: %v", err)
			return
		}
		part := o.g.partition(r.Partition)
		part.work = startedBySchedule{part.work, o.owner}
		part.saveAt.Store(2)
	}
	j.owners = append(j.owners, o)
	j.twice = j.twice || len(j.owners) > 1
	w.tell("%s takes %s up", o.name, j.task.UID)
}

func (w *world) forgetJob(why string) {
	w.tell("%s is forgotten: %s", w.job.task.UID, why)
	for _, o := range w.job.owners {
		w.crash(o.owner)
	}
	w.buryJob()
}

// buryJob deletes the progress of a job that is over.
func (w *world) buryJob() {
	for _, p := range w.parts {
		for _, key := range w.keysOf(p) {
			if key.uid == w.job.task.UID {
				delete(p.keys, key.String())
				delete(p.decoded, key)
			}
		}
	}
	w.job = nil
}

// jobStep takes one step of the job, or begins one.
func (w *world) jobStep() {
	if w.job == nil {
		if !w.healthy && w.tape.chance(30) {
			w.beginJob()
		}
		return
	}
	j := w.job
	if len(j.owners) == 0 || w.tape.chance(3) && !w.healthy {
		w.runJob()
		return
	}
	o := j.owners[w.tape.pick(len(j.owners))]
	switch q := w.tape.pick(100); {
	case o.ending:
		w.jobEnds(o)
	case o.progressID != w.progressID && (w.healthy || q < 5):
		w.crash(o.owner) // it notices that the progress topic was made anew, and begins again
		w.leaves(o)
	case w.healthy:
		_ = w.resume(o.owner) || o.sweep() || w.jobSettles(o)
	case q < 35:
		o.sweep()
	case q < 75:
		w.resume(o.owner)
	case q < 85:
		o.commit()
	case q < 88:
		o.early()
	case q < 92:
		w.crash(o.owner)
		w.leaves(o)
	case q < 94:
		w.stopJob(o)
	default:
		w.jobSettles(o)
	}
}

func (w *world) leaves(o *jobOwner) {
	if w.job != nil {
		w.job.owners = slices.DeleteFunc(w.job.owners, func(have *jobOwner) bool { return have == o })
	}
}

// stopJob ends a process in good order before the job is done.
func (w *world) stopJob(o *jobOwner) {
	w.tell("%s stops in good order", o.name)
	w.giveUpJob(o)
	w.crash(o.owner)
	w.leaves(o)
}

// giveUpJob does what Run does after its loops: it finishes. The schedule goes on with what
// that waits for.
func (w *world) giveUpJob(o *jobOwner) {
	done := false
	go func() {
		o.g.finish()
		done = true
	}()
	synctest.Wait()
	for range 300 {
		if done {
			return
		}
		w.pass(time.Millisecond)
		w.resume(o.owner)
	}
}

// jobSettles asks the job whether everything is settled, as Run does; then it finishes.
func (w *world) jobSettles(o *jobOwner) bool {
	settled := o.job.settled()
	synctest.Wait()
	if !settled {
		return false
	}
	w.tell("%s: everything is settled", o.name)
	w.giveUpJob(o)
	o.ending = true
	return true
}

// jobEnds is what Run decides at its end.
func (w *world) jobEnds(o *jobOwner) {
	ok := o.job.settled()
	for _, p := range o.job.opened() {
		ok = ok && o.job.saved(p) == nil
	}
	w.crash(o.owner)
	w.leaves(o)
	if !ok || o.progressID != w.progressID {
		return // it is gone on with
	}
	w.tell("%s: %s is done", o.name, w.job.task.UID)
	w.judgeJob()
	for _, other := range w.job.owners {
		w.crash(other.owner)
	}
	w.buryJob()
}

// judgeJob asks whether everything that the job was made for has become of it.
func (w *world) judgeJob() {
	j := w.job
	for _, r := range j.task.Ranges {
		at := j.line.at(r.Partition)
		if j.task.Job == TaskRedrive {
			w.judgeLetters(r, at)
			continue
		}
		p := w.parts[r.Partition]
		var gaps []gap
		if rec, _ := p.decoded.of(Spec{UID: j.task.UID, BaseEpoch: 1, Epoch: 1}, j.task.TopicID); rec != nil {
			gaps = rec.Gaps
		}
		for _, x := range p.all {
			if x.Offset < r.From || x.Offset >= r.To || at.settled[x.Offset] || !j.line.all(x) {
				continue
			}
			lost := slices.ContainsFunc(gaps, func(g gap) bool { return g.From <= x.Offset && x.Offset < g.To })
			switch {
			case x.Offset >= p.start:
				w.fail("14: %s is done, and record %d of %d was never settled", j.task.UID, x.Offset, r.Partition)
			case !lost && !w.forgotten && !j.twice:
				w.fail("14: %s is done, retention took record %d of %d, and no gap says so", j.task.UID, x.Offset, r.Partition)
			}
		}
	}
}

func (w *world) judgeLetters(r Range, at *lineProgress) {
	j := w.job
	for offset, l := range w.lettersOf(r.Partition)[:r.To] {
		if l.uid != j.task.StreamUID || w.firstLetter(r.Partition, l.id) != int64(offset) {
			continue
		}
		refused := l.x.huge || l.x.invalid || l.x.poison && !j.mended || !j.line.all(l.x)
		switch {
		case l.again: // somebody's letter came after the mark: a stalled owner's, or what a crash repeats
		case at.settled[int64(offset)] && !l.marked && j.line.all(l.x): // else a revision that takes it no longer has found it unmarked, after a crash
			w.fail("15: %s is done, letter %d of %d was sent and is not marked", j.task.UID, offset, r.Partition)
		case !l.marked && !refused:
			w.fail("15: %s is done, letter %d of %d is open, and nothing was wrong with its event", j.task.UID, offset, r.Partition)
		}
	}
}

// all says whether every revision that the job was run with lets a record pass.
func (l *line) all(x *simRecord) bool {
	return !slices.ContainsFunc(l.revisions, func(r revision) bool { return !r.match(x) })
}

// sends judges an event that a job sends.
func (w *world) sends(j *simJob, part int32, offset int64, x *simRecord) {
	in := slices.ContainsFunc(j.task.Ranges, func(r Range) bool { return r.Partition == part && r.From <= offset && offset < r.To })
	if !in || x == nil || !slices.ContainsFunc(j.line.revisions, func(r revision) bool { return r.match(x) }) {
		w.fail("14: %s sends offset %d of %d, which it was not made for", j.task.UID, offset, part)
		return
	}
	if j.task.Job == TaskRedrive && w.lettersOf(part)[offset].uid != j.task.StreamUID {
		w.fail("15: %s sends the letter %d of %d of another stream", j.task.UID, offset, part)
	}
}

// firstLetter is the first record of a letter.
func (w *world) firstLetter(part int32, id string) int64 {
	return int64(slices.IndexFunc(w.lettersOf(part), func(l *simLetter) bool { return l.id == id }))
}

// simLetters are the dead letters as one process reads and marks them.
type simLetters struct {
	w    *world
	o    *owner
	open map[int32]map[int64]LetterOrigin // how the letters of the job stood as it found them
}

type simOrigin struct{}

func (s *simLetters) Read(ctx context.Context, partition int32, from int64, _ int32) (kafka.Span, error) {
	w := s.w
	s.o.reading = true
	err := s.o.park(ctx, "letters", fmt.Sprintf("%d/%d", partition, from))
	s.o.reading = false
	if err != nil {
		return kafka.Span{}, err
	}
	if !w.healthy && w.tape.chance(10) {
		return kafka.Span{}, errModelKafka
	}
	letters := w.lettersOf(partition)
	if s.open[partition] == nil {
		s.open[partition] = map[int64]LetterOrigin{}
		for i, l := range letters {
			switch {
			case !w.job.meant[partition][int64(i)]:
			case l.ours != "":
				s.open[partition][int64(i)] = LetterOrigin{Standing: LetterRedriven, In: l.ours}
			case l.marked:
				s.open[partition][int64(i)] = LetterOrigin{Standing: LetterDecided}
			default:
				s.open[partition][int64(i)] = LetterOrigin{}
			}
		}
	}
	end := min(int64(len(letters)), from+1+int64(w.tape.pick(3)))
	span := kafka.Span{Next: end, Stable: int64(len(letters))}
	for i := from; i < end; i++ {
		standing, meant := s.open[partition][i]
		if !meant {
			continue
		}
		x := letters[i].x
		span.Records = append(span.Records, &kgo.Record{
			Topic: "events", Partition: partition, Offset: i, Timestamp: x.Timestamp, Key: x.Key, Value: x.Value, Headers: x.Headers,
			Context: context.WithValue(context.Background(), simOrigin{}, LetterOrigin{Partition: x.Partition, Offset: x.Offset, Standing: standing.Standing, In: standing.In}),
		})
	}
	w.tell("%s: letters %d [%d, %d): %d open", s.o.name, partition, from, end, len(span.Records))
	return span, nil
}

func (s *simLetters) Origin(r *kgo.Record) LetterOrigin {
	o, _ := r.Context.Value(simOrigin{}).(LetterOrigin)
	return o
}

func (s *simLetters) Mark(ctx context.Context, partition int32, offsets []int64, feed string) error {
	w := s.w
	if err := s.o.park(ctx, "mark", fmt.Sprint(partition, offsets)); err != nil {
		return err
	}
	mood := 0
	if !w.healthy {
		mood = w.tape.pick(8)
	}
	if mood == 7 {
		return errModelKafka
	}
	w.tell("%s: marks %d %v", s.o.name, partition, offsets)
	if w.job == nil {
		return nil
	}
	for _, o := range offsets {
		if !w.job.line.at(partition).settled[o] {
			w.fail("15: letter %d of %d is marked as redriven before its event was settled", o, partition)
		}
		for _, l := range w.lettersOf(partition) {
			if l.id == w.lettersOf(partition)[o].id {
				l.marked, l.ours = true, feed
			}
		}
	}
	if mood == 6 {
		return errModelKafka
	}
	return nil
}

// keepLetter takes a letter that has arrived into the topic.
func (w *world) keepLetter(id string, streams []letterStream, part int32, x *simRecord) {
	l := &simLetter{id: id, x: x}
	if len(streams) > 0 {
		l.uid = streams[0].UID
	}
	for _, have := range w.letters[part] {
		if have.id == id {
			have.again = have.again || have.marked
			have.marked = false // open again
		}
	}
	w.letters[part] = append(w.letters[part], l)
}

// ofJob says whether a key of the progress topic is that of a job.
func ofJob(uid string) bool { return strings.HasPrefix(uid, "job") }
