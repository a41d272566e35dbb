----------------------------- MODULE Snapshot -----------------------------
(* Recording, commit and recovery of a group as `snapshot-core` implements them: nodes, FIFO channels with numbered frames,
   generations, seats, the journal as each process has read it, crashes, broken connections. Each action names the method
   that it stands for. Every name in Mut leaves one rule out.
   What the store does in detail (answers that are lost, two processes of one node) is in Journal.tla; what waits in an outbox,
   windows and grants are in Flow.tla.
   Run: java -cp tla2tools.jar tlc2.TLC -deadlock -config Snapshot-break.cfg Snapshot.tla          Results: README.md *)
EXTENDS Integers, Sequences, FiniteSets
CONSTANTS N,          \* nodes 1..N, full mesh
          MaxSend,    \* messages per channel within one line of history
          MaxGen,
          MaxSnap,    \* snapshots begun in a run; Patient: in each generation
          MaxCrash, MaxBreak, MaxAbort,
          MaxBack,    \* how often the store may go back while the network does not
          Left,       \* TRUE: at the start there may be frames of another history on the channels
          Connections,\* TRUE: the transport tells of every new connection; FALSE: a bus, which knows of none
          Initiators, \* who may begin snapshots
          Keep,       \* retention: how many commits are kept; 0: all, nothing is ever deleted
          Polls,      \* TRUE: a running node may look at the journal at any time; FALSE: only what happens makes it look
          Warm,       \* TRUE: the group runs in its first generation already
          Patient,    \* TRUE: for liveness; no snapshot is begun while one of the same initiator is under way
          Mut         \* rules that are left out; {} is the protocol
Node == 1..N
Chan == {c \in Node \X Node : c[1] # c[2]}
In(p) == {c \in Chan : c[2] = p}
Has(m) == m \in Mut

VARIABLES
  nd,       \* [Node -> a node's process, see Fresh]
  cn,       \* [Chan -> both ends of a channel and what is between them, see Empty]
  ups,      \* <<p, q>>: the transport has yet to tell p of its new connection to q
  flight,   \* parts on their way to the store; they outlive the rollback and the crash of their node
  parts, journal, seats,   \* the store
  bak,      \* the backup to which it may go back; at first an empty store
  count     \* what the environment has done
vars == <<nd, cn, ups, flight, parts, journal, seats, bak, count>>

\* A process. ph: "down", "start", "gap", "newer" (the three reasons to recover), "run".
Zero == [p \in Node |-> 0]
Fresh(life) == [ph |-> "down", life |-> life,
  gen |-> 0,        \* the generation in which it lives
  rd |-> 0,         \* how many records of the journal it has read
  seat |-> 0,       \* the generation in which it has its seat
  taken |-> 0,      \* a generation whose seat another process of this node has
  looked |-> 0,     \* the generation whose whole sets it has looked for
  unt |-> <<>>,     \* messages that have arrived and are not taken: <<channel, message>>, replayed ones first
  seen |-> 0,       \* the largest sequence of a snapshot seen in this generation
  begun |-> Zero,   \* the largest sequence of each initiator that was begun or given up here
  fore |-> {},      \* snapshots that were given up before their first marker came
  cap |-> {},       \* recordings
  tally |-> {}]     \* at the initiator: whose receipts it has
\* sent, recvd: the state of the applications at the two ends, as logs of effects. ans: an old frame was answered already.
\* foul: something of another history was acted on.
Empty == [fs |-> <<>>, nout |-> 0, nin |-> 0, ans |-> FALSE, sent |-> <<>>, recvd |-> <<>>, foul |-> FALSE]

Max(S) == CHOOSE x \in S : \A y \in S : y <= x
RECURSIVE Sum(_, _)
Sum(f, S) == IF S = {} THEN 0 ELSE LET x == CHOOSE x \in S : TRUE IN f[x] + Sum(f, S \ {x})
\* Each message sent and each message taken is a turn.
Turn(p) == Sum([c \in Chan |-> IF c[1] = p THEN Len(cn[c].sent) ELSE IF c[2] = p THEN Len(cn[c].recvd) ELSE 0], Chan)

--------------------------------------------------------------------------
\* What a prefix of the journal sums up (journal.rs)
\* nc: the nonce of the record, by which a generation is told from one of the same number that the store has forgotten (F5)
Gen(g) == [t |-> "G", g |-> g, k |-> <<>>, turns |-> <<>>, nc |-> count.back]
Com(k, turns) == [t |-> "C", g |-> k[1], k |-> k, turns |-> turns, nc |-> 0]
View(n) == SubSeq(journal, 1, n)
Gens(j) == {i \in 1..Len(j) : j[i].t = "G"}
Coms(j) == {i \in 1..Len(j) : j[i].t = "C"}
Newest(j) == IF Gens(j) = {} THEN 0 ELSE j[Max(Gens(j))].g
LastGen == Newest(journal)
Restart(j) == IF Coms(j) = {} THEN <<>> ELSE j[Max(Coms(j))].k
StartOf(j, g) == LET i == CHOOSE i \in Gens(j) : j[i].g = g IN Restart(SubSeq(j, 1, i - 1))
Own(j) == {i \in Coms(j) : j[i].g = Newest(j)}
\* all who are in a generation have read its record
Nonce(g) == IF g = 0 THEN 0 ELSE journal[CHOOSE i \in Gens(journal) : journal[i].g = g].nc
IsIn(j, k) == \E i \in Coms(j) : j[i].k = k
\* its initiator has committed it, or a later one of this generation (is_settled)
Settled(j, k) == \E i \in Own(j) : j[i].k[1] = k[1] /\ j[i].k[3] = k[3] /\ j[i].k[2] >= k[2]
\* Record::commit: J3, J5
MayCommit(j, k, turns) ==
  /\ k[1] = Newest(j) /\ ~IsIn(j, k)
  /\ ~\E i \in Own(j) : j[i].k[3] = k[3] /\ j[i].k[2] > k[2]
  /\ (Own(j) # {} => \A q \in Node : turns[q] >= j[Max(Own(j))].turns[q]) \/ Has("Crossing")
Kept(j) == {j[i].k : i \in {i \in Coms(j) : Keep = 0 \/ Cardinality({m \in Coms(j) : m > i}) < Keep}}
\* Record::doomed
Doomed(j) == IF Keep = 0 THEN {} ELSE
  {x \in parts : x.k \notin Kept(j) /\ (x.k[1] < Newest(j) \/ Settled(j, x.k) \/ Has("SweepCurrent"))}

See(p) == View(nd[p].rd)
Key(id) == IF Has("NoGenInKey") THEN <<1, id[2], id[3]>> ELSE id
HasPart(k, p) == \E x \in parts : x.k = k /\ x.p = p
PartOf(k, p) == CHOOSE x \in parts : x.k = k /\ x.p = p
Whole(k) == \A p \in Node : HasPart(k, p)
TurnsOf(k) == [p \in Node |-> PartOf(k, p).turn]

--------------------------------------------------------------------------
\* Frames. F1: the number is given when the frame departs, that is, is taken for the transport, and control overtakes messages
\* in an outbox. What has not departed is in Flow.tla; here, to be put into fs is to depart. fs is the network and what the
\* receiver holds in one. F5: each number has a part of the generation's nonce in it, and a Hello has all of it.
Frame(g, n, t, v) == [g |-> g, n |-> n, t |-> t, v |-> v, nc |-> Nonce(g)]
Push(x, p, to, g, t, v) == [c \in Chan |-> IF c[1] = p /\ c[2] \in to
  THEN [x[c] EXCEPT !.fs = Append(@, Frame(g, x[c].nout + 1, t, v)), !.nout = @ + 1] ELSE x[c]]
Pop(x, c) == [x EXCEPT ![c].fs = Tail(@)]
Others(p) == Node \ {p}
Set(p, s) == nd' = [nd EXCEPT ![p] = s]
Runs(p) == nd[p].ph = "run"

\* What processes of another history have left of a generation: its greeting, a marker, both, the answer to an older frame, or
\* what came behind a loss.
LeftOf(g) == LET F(n, t) == [g |-> g, n |-> n, t |-> t, v |-> IF t = "k" THEN <<g, 1, 1>> ELSE <<>>, nc |-> 99] IN
             {<<F(1, "h")>>, <<F(2, "k")>>, <<F(1, "h"), F(2, "k")>>, <<F(0, "h")>>, <<F(2, "h")>>}
LeftOver == {<<>>} \cup IF Left THEN UNION {LeftOf(g) : g \in 1..MaxGen + 1} ELSE {}
Init == /\ nd = [p \in Node |-> IF Warm THEN [Fresh(1) EXCEPT !.ph = "run", !.gen = 1, !.rd = 1, !.seat = 1] ELSE Fresh(0)]
        /\ \E l \in [Chan -> LeftOver] :
             cn = [c \in Chan |-> IF Warm THEN [Empty EXCEPT !.nout = 1, !.nin = 1, !.fs = l[c]] ELSE [Empty EXCEPT !.fs = l[c]]]
        /\ journal = (IF Warm THEN <<[t |-> "G", g |-> 1, k |-> <<>>, turns |-> <<>>, nc |-> 0]>> ELSE <<>>)
        /\ seats = (IF Warm THEN {<<1, p, 1>> : p \in Node} ELSE {})
        /\ ups = {} /\ flight = {} /\ parts = {} /\ bak = [journal |-> <<>>, parts |-> {}, seats |-> {}]
        /\ count = [crash |-> 0, break |-> 0, snap |-> 0, abort |-> 0, back |-> 0, kept |-> 0]

--------------------------------------------------------------------------
\* The application: SnapshotCoordinator::send, take_message
Send(c) == LET p == c[1] m == <<nd[p].gen, Nonce(nd[p].gen), Len(cn[c].sent) + 1>> IN
  /\ Runs(p) /\ Len(cn[c].sent) < MaxSend
  /\ cn' = Push([cn EXCEPT ![c].sent = Append(@, m)], p, {c[2]}, nd[p].gen, "m", m)
  /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
Take(q) == LET u == Head(nd[q].unt) IN
  /\ Runs(q) /\ nd[q].unt # <<>>
  /\ cn' = [cn EXCEPT ![u[1]].recvd = Append(@, u[2])] /\ Set(q, [nd[q] EXCEPT !.unt = Tail(@)])
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>

--------------------------------------------------------------------------
\* Recording (Chandy & Lamport 1985, 3.2): recording.rs, snapshotting.rs
Untaken(s, c) == LET us == SelectSeq(s.unt, LAMBDA u : u[1] = c) IN [i \in 1..Len(us) |-> us[i][2]]
\* begin: the state, all that is untaken on every channel, the one that brought the marker included
Recording(p, s, id, but) == [id |-> id, turn |-> Turn(p),
  sent |-> [c \in Chan |-> IF c[1] = p THEN cn[c].sent ELSE <<>>],
  recvd |-> [c \in Chan |-> IF c[2] = p THEN cn[c].recvd ELSE <<>>],
  open |-> In(p) \ but,
  chan |-> [c \in Chan |-> IF c[2] # p \/ Has("UntakenNotRecorded") \/ (Has("BringerNotRecorded") /\ c \in but)
                           THEN <<>> ELSE Untaken(s, c)]]
Begin(s, p, id, but) == [s EXCEPT !.cap = @ \cup {Recording(p, s, id, but)},
                                  !.seen = IF id[2] > @ THEN id[2] ELSE @, !.fore = @ \ {id},
                                  !.begun = [@ EXCEPT ![id[3]] = IF id[2] > @ THEN id[2] ELSE @]]
\* complete: what has its marker on every channel goes to the store
Done(s) == {r \in s.cap : r.open = {}}
Part(p, s, r) == [k |-> Key(r.id), p |-> p, turn |-> r.turn, sent |-> r.sent, recvd |-> r.recvd, chan |-> r.chan,
                  id |-> r.id, life |-> s.life, dead |-> FALSE]
Complete(p, s) == /\ Set(p, [s EXCEPT !.cap = @ \ Done(s)])
                  /\ flight' = flight \cup {Part(p, s, r) : r \in Done(s)}

UnderWay(p) == \/ nd[p].cap # {} \/ nd[p].tally # {}
               \/ \E x \in flight : x.p = p /\ ~x.dead /\ x.life = nd[p].life
               \/ \E c \in Chan : \E i \in 1..Len(cn[c].fs) : cn[c].fs[i].t = "k" /\ cn[c].fs[i].g = nd[p].gen
\* SnapshotCoordinator::initiate
Initiate(p) == LET s == nd[p] id == <<s.gen, s.seen + 1, p>> IN
  /\ Runs(p) /\ p \in Initiators
  /\ IF Patient
     THEN /\ ~UnderWay(p) /\ \A q \in Node : Runs(q)    \* attempts are bounded here; none is wasted
          /\ s.seen - (IF StartOf(journal, s.gen) = <<>> THEN 0 ELSE StartOf(journal, s.gen)[2]) < MaxSnap
          /\ UNCHANGED count
     ELSE count.snap < MaxSnap /\ count' = [count EXCEPT !.snap = @ + 1]
  /\ Complete(p, [Begin(s, p, id, {}) EXCEPT !.tally = @ \cup {[id |-> id, from |-> {}]}])
  /\ cn' = Push(cn, p, Others(p), s.gen, "k", id)
  /\ UNCHANGED <<ups, parts, journal, seats, bak>>

\* give_up, tell_aborted, aborted
Knows(p, id) == \/ \E r \in nd[p].cap : r.id = id
                \/ \E t \in nd[p].tally : t.id = id
                \/ \E x \in flight : x.p = p /\ x.id = id /\ x.life = nd[p].life /\ ~x.dead
Drop(s, id) == [s EXCEPT !.cap = {r \in @ : r.id # id}, !.tally = {t \in @ : t.id # id}]
Kill(fl, p, s, id) == {IF x.p = p /\ x.id = id /\ x.life = s.life THEN [x EXCEPT !.dead = TRUE] ELSE x : x \in fl}
GiveUp(p, id) == /\ Runs(p) /\ Knows(p, id) /\ count.abort < MaxAbort /\ count' = [count EXCEPT !.abort = @ + 1]
                 /\ Set(p, Drop(nd[p], id)) /\ flight' = Kill(flight, p, nd[p], id)
                 /\ cn' = Push(cn, p, Others(p), nd[p].gen, "a", id)
                 /\ UNCHANGED <<ups, parts, journal, seats, bak>>

--------------------------------------------------------------------------
\* Commit: part_answered, give_receipt, receipt, commit_next, appended, announce
Counted(s, id, q) == [s EXCEPT !.tally = {IF t.id = id THEN [t EXCEPT !.from = @ \cup {q}] ELSE t : t \in @}]
\* The store has a part. J4: only now does the initiator hear of it.
Land(x) == LET p == x.p s == nd[p] tell == s.ph # "down" /\ s.life = x.life /\ s.gen = x.id[1] /\ ~x.dead IN
  /\ x \in flight /\ flight' = flight \ {x}
  /\ parts' = {y \in parts : ~(y.k = x.k /\ y.p = p)} \cup {[x EXCEPT !.life = 0, !.dead = FALSE]}
  /\ IF ~tell \/ Has("ReceiptEarly") THEN UNCHANGED <<nd, cn>>
     ELSE IF x.id[3] = p THEN Set(p, Counted(s, x.id, p)) /\ UNCHANGED cn
     ELSE cn' = Push(cn, p, {x.id[3]}, s.gen, "r", x.id) /\ UNCHANGED nd
  /\ UNCHANGED <<ups, journal, seats, bak, count>>
\* a mutant: the receipt goes out before the part is durable
EarlyReceipt(x) == LET p == x.p IN
  /\ Has("ReceiptEarly") /\ x \in flight /\ ~x.dead /\ nd[p].life = x.life /\ nd[p].gen = x.id[1]
  /\ \E q \in {x.id[3]} : Set(q, Counted(nd[q], x.id, p))
  /\ UNCHANGED <<cn, ups, flight, parts, journal, seats, bak, count>>

\* learn, leave_generation: what records rd+1..Len(j) mean to a process
Leave(s) == [s EXCEPT !.ph = IF @ = "run" THEN "newer" ELSE @, !.looked = IF s.ph = "run" THEN 0 ELSE @,
                      !.cap = {}, !.tally = {}, !.unt = <<>>, !.begun = Zero, !.fore = {}]
Heard(s, j) == {t.id : t \in {t \in s.tally : \E i \in s.rd + 1..Len(j) : j[i].t = "C" /\ j[i].k = Key(t.id)}}
RECURSIVE Tell(_, _, _, _)
Tell(x, p, g, ids) == IF ids = {} THEN x ELSE LET id == CHOOSE id \in ids : TRUE IN
                      Tell(Push(x, p, Others(p), g, "c", id), p, g, ids \ {id})
Learn(p, j) == LET s == nd[p] s1 == [s EXCEPT !.rd = Len(j), !.tally = {t \in @ : t.id \notin Heard(s, j)}]
                   gone == Newest(j) > s.gen /\ s.ph # "start" IN
  /\ Set(p, IF gone THEN Leave(s1) ELSE s1)
  /\ flight' = IF gone THEN {IF x.p = p /\ x.life = s.life THEN [x EXCEPT !.dead = TRUE] ELSE x : x \in flight} ELSE flight
  /\ cn' = Tell(cn, p, s.gen, Heard(s, j))
\* J1: a record is created at the first free index, by somebody who has read all before it. The loser of a race reads on.
AppendRecord(p, r) == nd[p].rd = Len(journal) /\ journal' = Append(journal, r) /\ Learn(p, journal')
Ready(p) == {t.id : t \in {t \in nd[p].tally : t.from = Node}}
Commit(p, id) ==
  /\ Runs(p) /\ id \in Ready(p)
  /\ LET turns == IF \A q \in Node : HasPart(Key(id), q) THEN TurnsOf(Key(id)) ELSE Zero IN
     /\ MayCommit(View(nd[p].rd), Key(id), turns) /\ AppendRecord(p, Com(Key(id), turns))
  /\ UNCHANGED <<ups, parts, seats, bak, count>>
\* commit_next refused: what J3 or J5 excludes is given up
Superseded(p, id) ==
  /\ Runs(p) /\ id \in Ready(p) /\ Whole(Key(id)) /\ ~MayCommit(View(nd[p].rd), Key(id), TurnsOf(Key(id)))
  /\ Set(p, Drop(nd[p], id)) /\ cn' = Push(cn, p, Others(p), nd[p].gen, "a", id)
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
\* sweep, swept
Sweep(p) == /\ Runs(p) /\ Doomed(View(nd[p].rd)) # {} /\ parts' = parts \ Doomed(View(nd[p].rd))
            /\ UNCHANGED <<nd, cn, ups, flight, journal, seats, bak, count>>

--------------------------------------------------------------------------
\* Arrival, not hand-out, is when the rules act: accept, control. A node that is not running holds everything (F3).
Ahead(c) == Head(cn[c].fs)
\* F5: it is of this generation, and not of one of that number in another history (Stamp::is_of)
Ours(c) == Ahead(c).nc = Nonce(nd[c[2]].gen) \/ Has("NoNonce")
InOrder(c) == LET f == Ahead(c) s == nd[c[2]] IN
  /\ Runs(c[2]) /\ cn[c].fs # <<>>
  /\ \/ f.g = s.gen /\ Ours(c) /\ (f.n = cn[c].nin + 1 \/ (Has("NoGapCheck") /\ f.n > 0))
     \/ f.g < s.gen /\ Has("OldAccepted")
     \/ f.g > s.gen /\ Has("NewerDelivered")
    
Took(c) == [cn EXCEPT ![c].fs = Tail(@), ![c].nin = IF Ahead(c).g = nd[c[2]].gen THEN Ahead(c).n ELSE @,
                      ![c].foul = @ \/ (Ahead(c).g = nd[c[2]].gen /\ Ahead(c).nc # Nonce(nd[c[2]].gen))]
Hello(c) == /\ InOrder(c) /\ Ahead(c).t = "h"
            /\ cn' = IF cn[c].nin = 0 /\ ~Connections /\ ~Has("NoGreetBack")   \* greeted: it may be a new process, and
                     THEN Push(Took(c), c[2], {c[1]}, nd[c[2]].gen, "h", <<>>)   \* there is no connection that tells of it
                     ELSE Took(c)
            /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
Arrived(c) == LET q == c[2] v == Ahead(c).v IN
  /\ InOrder(c) /\ Ahead(c).t = "m" /\ cn' = Took(c)
  /\ Set(q, [nd[q] EXCEPT !.unt = Append(@, <<c, v>>),
                          !.cap = {IF c \in r.open THEN [r EXCEPT !.chan = [@ EXCEPT ![c] = Append(@, v)]] ELSE r : r \in @}])
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
Marker(c) == LET q == c[2] s == nd[q] id == Ahead(c).v IN
  /\ InOrder(c) /\ Ahead(c).t = "k"
  /\ IF \E r \in s.cap : r.id = id
     THEN Complete(q, [s EXCEPT !.cap = {IF r.id = id THEN [r EXCEPT !.open = @ \ {c}] ELSE r : r \in @}]) /\ cn' = Took(c)
     ELSE IF id[2] <= s.begun[id[3]] \/ id \in s.fore      \* has_ended
     THEN cn' = Took(c) /\ UNCHANGED <<nd, flight>>
     ELSE Complete(q, Begin(s, q, id, {c})) /\ cn' = Push(Took(c), q, Others(q), s.gen, "k", id)
  /\ UNCHANGED <<ups, parts, journal, seats, bak, count>>
Receipt(c) == /\ InOrder(c) /\ Ahead(c).t = "r" /\ cn' = Took(c)
              /\ Set(c[2], Counted(nd[c[2]], Ahead(c).v, c[1]))
              /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
Committed(c) == /\ InOrder(c) /\ Ahead(c).t = "c" /\ cn' = Took(c)
                /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
Aborted(c) == LET q == c[2] s == nd[q] id == Ahead(c).v IN
  /\ InOrder(c) /\ Ahead(c).t = "a" /\ cn' = Took(c)
  /\ IF Knows(q, id) THEN Set(q, Drop(s, id)) /\ flight' = Kill(flight, q, s, id)
     ELSE IF id[2] <= s.begun[id[3]] THEN UNCHANGED <<nd, flight>>
     ELSE Set(q, [s EXCEPT !.seen = IF id[2] > @ THEN id[2] ELSE @, !.fore = @ \cup {id}]) /\ UNCHANGED flight
  /\ UNCHANGED <<ups, parts, journal, seats, bak, count>>
\* foresee: that a snapshot is given up is known before what stands ahead of the news is handled, so that it is not begun any more
Foresee(c) == LET q == c[2] s == nd[q] IN
  /\ Runs(q)
  /\ \E i \in 2..Len(cn[c].fs) : LET f == cn[c].fs[i] IN
     /\ f.t = "a" /\ f.g = s.gen /\ f.nc = Nonce(s.gen) /\ f.v[2] > s.begun[f.v[3]] /\ f.v \notin s.fore
     /\ Set(q, [s EXCEPT !.seen = IF f.v[2] > @ THEN f.v[2] ELSE @, !.fore = @ \cup {f.v}])
  /\ UNCHANGED <<cn, ups, flight, parts, journal, seats, bak, count>>
\* F2, F3a: an older frame is dropped, and answered outside the count, once per connection and generation, ahead of all queued
Old(c) == LET q == c[2] back == <<c[2], c[1]>> x == Pop(cn, c) IN
  /\ Runs(q) /\ cn[c].fs # <<>> /\ Ahead(c).g < nd[q].gen /\ ~Has("OldAccepted")
  /\ cn' = IF cn[c].ans \/ Has("NoAnswer") THEN x
           ELSE [x EXCEPT ![c].ans = TRUE, ![back].fs = Append(@, Frame(nd[q].gen, 0, "h", <<>>))]
  /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
Outside(c) == /\ Runs(c[2]) /\ cn[c].fs # <<>> /\ Ahead(c).g = nd[c[2]].gen /\ Ours(c) /\ Ahead(c).n = 0
              /\ cn' = Pop(cn, c) /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
\* F5: what is of another history is dropped, and costs no generation (of_another_history)
OtherHistory(c) == /\ Runs(c[2]) /\ cn[c].fs # <<>> /\ Ahead(c).g = nd[c[2]].gen /\ ~Ours(c)
                   /\ cn' = Pop(cn, c) /\ UNCHANGED <<nd, ups, flight, parts, journal, seats, bak, count>>
\* F3: news of a newer generation is neither dropped nor handled; it waits for the rollback (begin_recovery). Only a Hello is
\* news: each generation begins with one on each channel. What comes without is left over, or will be missed there.
Newer(c) == LET q == c[2] IN
  /\ Runs(q) /\ cn[c].fs # <<>> /\ Ahead(c).g > nd[q].gen
  /\ IF Has("NewerDropped") \/ (Ahead(c).t # "h" /\ ~Has("NewerBelieved")) THEN cn' = Pop(cn, c) /\ UNCHANGED nd
     ELSE Set(q, [nd[q] EXCEPT !.ph = "newer", !.looked = 0]) /\ UNCHANGED cn
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
\* F5: the journal, read after the frame had come, has no newer generation: the frame is of another history (resume)
Resume(c) == LET q == c[2] IN
  /\ nd[q].ph = "newer" /\ cn[c].fs # <<>> /\ Ahead(c).g > nd[q].gen /\ ~Has("NoResume")
  /\ Newest(See(q)) = nd[q].gen /\ (nd[q].rd = Len(journal) \/ Has("StaleEnd"))
  /\ Set(q, [nd[q] EXCEPT !.ph = "run"]) /\ cn' = Pop(cn, c)
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
\* F2: this generation has lost something
Gap(c) == LET q == c[2] IN
  /\ Runs(q) /\ cn[c].fs # <<>> /\ Ahead(c).g = nd[q].gen /\ Ours(c)
  /\ Ahead(c).n \notin {0, cn[c].nin + 1} /\ ~Has("NoGapCheck")
  /\ Set(q, [nd[q] EXCEPT !.ph = "gap", !.looked = 0]) /\ cn' = Pop(cn, c)
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>

--------------------------------------------------------------------------
\* Recovery: recovery.rs, sets.rs
Recovers(p) == nd[p].ph \in {"start", "newer", "gap"}
\* start. What was sent to a process that was dead is lost from the front, as far as the dead connections had swallowed it.
Boot(p) == /\ nd[p].ph = "down"
           /\ \E d \in [In(p) -> 0..Max({Len(cn[c].fs) : c \in In(p)})] :
              /\ \A c \in In(p) : d[c] <= Len(cn[c].fs) /\ (nd[p].life = 0 => d[c] = 0)
              /\ cn' = [c \in Chan |-> IF c[2] = p THEN [cn[c] EXCEPT !.fs = SubSeq(@, d[c] + 1, Len(@))] ELSE cn[c]]
           /\ Set(p, [Fresh(nd[p].life + 1) EXCEPT !.ph = "start"])
           /\ ups' = ups \cup {<<q, p>> : q \in {q \in Others(p) : nd[q].ph # "down" /\ nd[p].life > 0 /\ Connections}}
           /\ UNCHANGED <<flight, parts, journal, seats, bak, count>>
\* read_next until there is no more. In a running node: by the timer, after an abort, after a lost race for an index.
Read(p) == /\ nd[p].ph # "down" /\ nd[p].rd < Len(journal)
           /\ Runs(p) => Polls \/ Ready(p) # {}
           /\ Learn(p, journal) /\ UNCHANGED <<ups, parts, journal, seats, bak, count>>
\* decide
Opens(p) == LET s == nd[p] IN
  \/ s.ph = "gap" /\ Newest(See(p)) = s.gen
  \/ s.taken = Newest(See(p)) /\ s.taken > 0
Looks(p) == Recovers(p) /\ Newest(See(p)) > 0 /\ (Opens(p) \/ nd[p].ph = "start") /\ nd[p].looked # Newest(See(p))
Found(p) == {k \in {x.k : x \in parts} : Whole(k) /\ k[1] = Newest(See(p)) /\ ~Settled(See(p), k)
                                         /\ MayCommit(See(p), k, TurnsOf(k))}
\* verify_next_set, verified: a whole set that nobody has committed
CommitFound(p, k) == /\ Looks(p) /\ k \in Found(p) /\ AppendRecord(p, Com(k, TurnsOf(k)))
                     /\ UNCHANGED <<ups, parts, seats, bak, count>>
Look(p) == /\ Looks(p) /\ Found(p) = {} /\ Set(p, [nd[p] EXCEPT !.looked = Newest(See(p))])
           /\ UNCHANGED <<cn, ups, flight, parts, journal, seats, bak, count>>
\* J2: Record::first, Record::open
Open(p) == /\ Recovers(p) /\ LastGen < MaxGen
           /\ nd[p].rd = 0 \/ (Opens(p) /\ nd[p].looked = Newest(See(p)))
           /\ AppendRecord(p, Gen(Newest(See(p)) + 1))
           /\ UNCHANGED <<ups, parts, seats, bak, count>>
\* S1: seat_held
Sit(p) == LET s == nd[p] g == Newest(See(p)) IN
  /\ Recovers(p) /\ g > 0 /\ ~Opens(p) /\ s.seat # g /\ (s.ph = "start" => s.looked = g) /\ g > s.gen
  /\ IF (\E x \in seats : x[1] = g /\ x[2] = p) /\ ~Has("NoSeats")
     THEN Set(p, [s EXCEPT !.taken = g]) /\ UNCHANGED seats
     ELSE Set(p, [s EXCEPT !.seat = g]) /\ seats' = seats \cup {<<g, p, s.life>>}
  /\ UNCHANGED <<cn, ups, flight, parts, journal, bak, count>>
\* load, handle_restored: the state, recorded messages at the head, counters to nothing, Hello
Retag(fs, g, s) == IF Has("OutboxKept") /\ fs # <<>> /\ fs[Len(fs)].t = "m" /\ fs[Len(fs)].g = s.gen
  THEN <<Append(SubSeq(fs, 1, Len(fs) - 1), Frame(g, 1, "h", <<>>)), <<[fs[Len(fs)] EXCEPT !.g = g, !.n = 2]>>>>
  ELSE <<Append(fs, Frame(g, 1, "h", <<>>)), <<>>>>
Line(f, cs) == IF cs = {} THEN <<>> ELSE LET c == CHOOSE c \in cs : TRUE IN [i \in 1..Len(f[c]) |-> <<c, f[c][i]>>]
RECURSIVE Lines(_, _)
Lines(f, cs) == IF cs = {} THEN <<>> ELSE LET c == CHOOSE c \in cs : \A d \in cs : c[1] <= d[1] IN Line(f, {c}) \o Lines(f, cs \ {c})
Restore(p) == LET s == nd[p] g == Newest(See(p)) k == StartOf(See(p), g) new == k = <<>> x == PartOf(k, p) IN
  /\ Recovers(p) /\ ~Opens(p) /\ s.seat = g /\ g > 0 /\ (s.ph = "start" \/ g > s.gen)
  /\ new \/ HasPart(k, p)
  /\ Set(p, [s EXCEPT !.ph = "run", !.gen = g, !.taken = 0, !.looked = 0, !.seen = IF new THEN 0 ELSE k[2],
                      !.unt = IF new \/ Has("NoReplay") THEN <<>> ELSE Lines(x.chan, In(p))])
  /\ cn' = [c \in Chan |->
       IF c[1] = p THEN LET r == Retag(cn[c].fs, g, s) IN
         [cn[c] EXCEPT !.fs = r[1] \o r[2], !.nout = 1 + Len(r[2]), !.sent = IF new THEN <<>> ELSE x.sent[c]]
       ELSE IF c[2] = p THEN [cn[c] EXCEPT !.nin = 0, !.ans = FALSE, !.recvd = IF new THEN <<>> ELSE x.recvd[c],
                                           !.fs = IF Has("InboxCleared") THEN <<>> ELSE @]
       ELSE cn[c]]
  /\ UNCHANGED <<ups, flight, parts, journal, seats, bak, count>>
\* handle_up: a numbered Hello on every new connection
Up(e) == LET p == e[1] q == e[2] x == [cn EXCEPT ![<<q, p>>].ans = FALSE] IN
  /\ e \in ups /\ ups' = ups \ {e}
  /\ cn' = IF Runs(p) /\ ~Has("NoGreet") THEN Push(x, p, {q}, nd[p].gen, "h", <<>>) ELSE x
  /\ UNCHANGED <<nd, flight, parts, journal, seats, bak, count>>

--------------------------------------------------------------------------
\* Failures
Crash(p) ==
  /\ nd[p].ph # "down" /\ count.crash < MaxCrash /\ count' = [count EXCEPT !.crash = @ + 1]
  /\ Set(p, Fresh(nd[p].life))
  /\ \E d \in [{c \in Chan : c[1] = p} -> 0..Max({Len(cn[c].fs) : c \in {c \in Chan : c[1] = p}})] :
     /\ \A c \in DOMAIN d : d[c] <= Len(cn[c].fs)
     /\ cn' = [c \in Chan |-> IF c[1] = p THEN [cn[c] EXCEPT !.fs = SubSeq(@, 1, d[c]), !.nout = 0, !.sent = <<>>]
                              ELSE IF c[2] = p THEN [cn[c] EXCEPT !.nin = 0, !.ans = FALSE, !.recvd = <<>>] ELSE cn[c]]
  /\ ups' = {e \in ups : p \notin {e[1], e[2]}}
  /\ \/ flight' = flight
     \/ flight' = {x \in flight : x.p # p} /\ flight' # flight
  /\ UNCHANGED <<parts, journal, seats, bak>>
\* The connection breaks and comes back: on each way, what was under way is lost from some point on.
Break(c) == LET b == <<c[2], c[1]>> IN
  /\ c[1] < c[2] /\ count.break < MaxBreak /\ count' = [count EXCEPT !.break = @ + 1]
  /\ nd[c[1]].ph # "down" /\ nd[c[2]].ph # "down"
  /\ \E i \in 0..Len(cn[c].fs), j \in 0..Len(cn[b].fs) :
       /\ i + j < Len(cn[c].fs) + Len(cn[b].fs)
       /\ cn' = [cn EXCEPT ![c].fs = SubSeq(@, 1, i), ![b].fs = SubSeq(@, 1, j)]
  /\ ups' = ups \cup {c, b}
  /\ UNCHANGED <<nd, flight, parts, journal, seats, bak>>
\* While no process runs, the store is emptied, or becomes what it was; the network, a bus, keeps what departed.
\* A backup is good when all have their seat in its newest generation, as they do when that has a commit: then nobody comes to
\* sit in it again, among frames of the same nonce.
Backup == /\ count.kept < MaxBack /\ count' = [count EXCEPT !.kept = @ + 1]
          /\ \A p \in Node : Has("BackupBetween") \/ \E x \in seats : x[1] = LastGen /\ x[2] = p
          /\ bak' = [journal |-> journal, parts |-> parts, seats |-> seats]
          /\ UNCHANGED <<nd, cn, ups, flight, parts, journal, seats>>
Back == /\ count.back < MaxBack /\ count' = [count EXCEPT !.back = @ + 1]
        /\ nd' = [p \in Node |-> Fresh(nd[p].life)] /\ ups' = {} /\ flight' = {}
        /\ journal' = bak.journal /\ parts' = bak.parts /\ seats' = bak.seats /\ UNCHANGED bak
        /\ \E d \in [Chan -> 0..Max({Len(cn[c].fs) : c \in Chan})] :
           /\ \A c \in Chan : d[c] <= Len(cn[c].fs)
           /\ cn' = [c \in Chan |-> [Empty EXCEPT !.fs = SubSeq(cn[c].fs, 1, d[c])]]

Progress ==
  \/ \E p \in Node : \/ Initiate(p) \/ Boot(p) \/ Read(p) \/ Look(p) \/ Open(p) \/ Sit(p) \/ Restore(p) \/ Take(p)
                     \/ \E k \in Found(p) : CommitFound(p, k)
                     \/ \E id \in Ready(p) : Commit(p, id) \/ Superseded(p, id)
  \/ \E c \in Chan : \/ Hello(c) \/ Arrived(c) \/ Marker(c) \/ Receipt(c) \/ Committed(c) \/ Aborted(c)
                     \/ Old(c) \/ Outside(c) \/ Newer(c) \/ Gap(c) \/ OtherHistory(c) \/ Resume(c)
  \/ \E x \in flight : Land(x) \/ EarlyReceipt(x)
  \/ \E e \in ups : Up(e)
Next == \/ Progress
        \/ \E c \in Chan : Send(c) \/ Break(c) \/ Foresee(c)
        \/ \E p \in Node : Crash(p) \/ Sweep(p)
        \/ Backup \/ Back
        \/ MaxAbort > 0 /\ \E p \in Node : \E id \in {r.id : r \in nd[p].cap} \cup {t.id : t \in nd[p].tally} \cup {x.id : x \in flight} : GiveUp(p, id)
Spec == Init /\ [][Next]_vars

--------------------------------------------------------------------------
\* What must hold
TypeOK == /\ LastGen <= MaxGen /\ \A p \in Node : nd[p].gen <= LastGen /\ nd[p].rd <= Len(journal)
          /\ \A p \in Node : Runs(p) => <<nd[p].gen, p, nd[p].life>> \in seats
IsPrefix(s, t) == Len(s) <= Len(t) /\ \A i \in 1..Len(s) : s[i] = t[i]
Msgs(c, g) == LET fs == SelectSeq(cn[c].fs, LAMBDA f : f.g = g /\ f.nc = Nonce(g) /\ f.t = "m") IN [i \in 1..Len(fs) |-> fs[i].v]
Same(c) == Runs(c[1]) /\ Runs(c[2]) /\ nd[c[1]].gen = nd[c[2]].gen
\* every whole set of parts is a consistent cut: sent = received + recorded, message by message, in order
ChannelExact == \A k \in {x.k : x \in parts} : Whole(k) => \A c \in Chan :
  PartOf(k, c[1]).sent[c] = PartOf(k, c[2]).recvd[c] \o PartOf(k, c[2]).chan[c]
NoDup(s) == \A i, j \in 1..Len(s) : s[i] = s[j] => i = j
\* the log of effects never has a hole, a repeat, or a message of another history
ExactlyOnce == \A c \in Chan : NoDup(cn[c].recvd) /\ (Same(c) => IsPrefix(cn[c].recvd \o Untaken(nd[c[2]], c), cn[c].sent))
\* where the frames between two nodes of one generation are all there, so are the messages
Numbers(c, g) == LET fs == SelectSeq(cn[c].fs, LAMBDA f : f.g = g /\ f.nc = Nonce(g) /\ f.n > 0) IN [i \in 1..Len(fs) |-> fs[i].n]
NothingMissing == \A c \in Chan : Same(c) /\ Numbers(c, nd[c[1]].gen) = [i \in 1..cn[c].nout - cn[c].nin |-> cn[c].nin + i] =>
  cn[c].sent = cn[c].recvd \o Untaken(nd[c[2]], c) \o Msgs(c, nd[c[1]].gen)
OneCommitPerId == \A i, j \in Coms(journal) : journal[i].k = journal[j].k => i = j
\* the commits that are kept can be read
Restorable == \A k \in Kept(journal) : Whole(k)
\* a commit is of the newest generation before it, and generations follow each other
LineageLinear == \A i \in 1..Len(journal) : LET before == Newest(View(i - 1)) IN
  IF journal[i].t = "G" THEN journal[i].g = before + 1 ELSE journal[i].g = before
\* a later commit covers an earlier one (J5): what was announced is never taken back
Covers == \A i, j \in Coms(journal) : i < j => \A p \in Node : journal[i].turns[p] <= journal[j].turns[p]
\* what is heard to be committed is in the journal
CommittedIsTrue == \A c \in Chan : Runs(c[2]) => \A i \in 1..Len(cn[c].fs) : LET f == cn[c].fs[i] IN
  f.t = "c" /\ f.g = nd[c[2]].gen /\ f.nc = Nonce(f.g) => IsIn(journal, Key(f.v))
\* what a process goes on from: the start of its generation, or something later (nothing that was covered is undone)
NotBehind == \A p \in Node : Runs(p) => LET k == StartOf(journal, nd[p].gen) IN
  k # <<>> => \A i \in Coms(journal) : journal[i].k = k => Turn(p) >= journal[i].turns[p]
\* a process that cannot load its part has something newer to read
LoadOrNewer == \A p \in Node : Recovers(p) /\ nd[p].seat > 0 /\ nd[p].seat = Newest(See(p)) =>
  LET k == StartOf(See(p), nd[p].seat) IN k = <<>> \/ HasPart(k, p) \/ LastGen > nd[p].seat
\* I1, S1: no id, no part and no seat twice
Unique == /\ \A x, y \in parts \cup flight : x.k = y.k /\ x.p = y.p => x.id = y.id /\ x.turn = y.turn
          /\ \A x, y \in seats : x[1] = y[1] /\ x[2] = y[2] => x = y
\* F5: nothing of another history is acted on
OneHistory == \A c \in Chan : ~cn[c].foul

\* Liveness: failures are bounded; every step that a live group can take is taken
Fair == /\ \A p \in Node : WF_vars(Boot(p)) /\ WF_vars(Read(p)) /\ WF_vars(Look(p)) /\ WF_vars(Open(p)) /\ WF_vars(Sit(p))
                           /\ WF_vars(Restore(p)) /\ WF_vars(Initiate(p)) /\ WF_vars(Take(p))
                           /\ WF_vars(\E k \in Found(p) : CommitFound(p, k))
                           /\ WF_vars(\E id \in Ready(p) : Commit(p, id) \/ Superseded(p, id))
        /\ \A c \in Chan : /\ WF_vars(Hello(c)) /\ WF_vars(Arrived(c)) /\ WF_vars(Marker(c)) /\ WF_vars(Receipt(c))
                           /\ WF_vars(Committed(c)) /\ WF_vars(Aborted(c)) /\ WF_vars(Old(c)) /\ WF_vars(Outside(c))
                           /\ WF_vars(Newer(c)) /\ WF_vars(Gap(c)) /\ WF_vars(Up(c)) /\ WF_vars(OtherHistory(c)) /\ WF_vars(Resume(c))
        /\ WF_vars(\E x \in flight : Land(x))
LiveSpec == Spec /\ Fair
Healthy == /\ LastGen > 0 /\ \A p \in Node : Runs(p) /\ nd[p].gen = LastGen
           /\ \E i \in Coms(journal) : journal[i].g = LastGen
EventuallyHealthy == <>[]Healthy

\* Reachability: expected to be violated, which shows that the states are reached
NeverReplays == \A p \in Node : ~(Runs(p) /\ nd[p].gen = 2 /\ StartOf(journal, 2) # <<>> /\ nd[p].unt # <<>>)
NeverAnswers == \A c \in Chan : \A i \in 1..Len(cn[c].fs) : cn[c].fs[i].n > 0
NeverFinds == \A i \in Coms(journal) : i < Len(journal) => \E p \in Node : nd[p].gen = journal[i].g   \* the opener has committed it
NeverSupersedes == \A c \in Chan : \A i \in 1..Len(cn[c].fs) : cn[c].fs[i].t # "a"
NeverSweeps == \A i \in Coms(journal) : Whole(journal[i].k)
NeverMeets == \A c \in Chan : ~(Runs(c[2]) /\ cn[c].fs # <<>> /\ Ahead(c).g = nd[c[2]].gen /\ ~Ours(c))   \* another history
NeverCommitsTwice == ~(\E i, j \in Coms(journal) : journal[i].g < journal[j].g)
=============================================================================
