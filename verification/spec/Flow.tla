-------------------------------- MODULE Flow --------------------------------
(* Windows, grants and control that overtakes messages, beside recording and rollback, as `snapshot-core` implements them.
   A message goes: outbox -> (window) -> wire, FIFO -> untaken -> taken. Control frames have a queue of their own, which departs
   first. Each action names the method that it stands for. Every name in Mut leaves one rule out.
   Here the store is one step: a part is durable when it is whole, all see a commit who look. What it does is in Snapshot.tla
   and Journal.tla.
   Run: java -cp tla2tools.jar tlc2.TLC -deadlock -config Flow-cut.cfg Flow.tla          Results: README.md *)
EXTENDS Integers, Sequences, FiniteSets
CONSTANTS N,
          Graph,      \* "mesh", "ring" (1 -> 2 -> ... -> 1: no channel has a way back; grants are routed)
          MaxSend,    \* messages per channel
          Senders,    \* nodes whose applications send
          Takers,     \* nodes whose applications go on taking (fairness only: any node may take)
          W, WM,      \* window: weight, messages
          W0,         \* window of a new generation before the receiver has been heard; 0 is the rule
          Big,        \* the k-th message of a channel with k in Big ...
          BigSize,    \* ... has this weight at the sender, all others 1
          BigSizeR,   \* ... and this one at the receiver
          OutMax,     \* room of an outbox
          MaxSnap, Initiators, MaxGen, MaxBreak, MaxAbort,
          MaxTaken,   \* a bus (see Snapshot.tla): how often a process may die with frames of a generation in which it has no seat
          Mut
Node == 1..N
Chan == IF Graph = "mesh" THEN {c \in Node \X Node : c[1] # c[2]} ELSE {<<p, IF p = N THEN 1 ELSE p + 1>> : p \in Node}
In(p) == {c \in Chan : c[2] = p}
Out(p) == {c \in Chan : c[1] = p}
Hop(p, to) == IF <<p, to>> \in Chan THEN <<p, to>> ELSE CHOOSE c \in Chan : c[1] = p
Has(m) == m \in Mut
H == (W + 1) \div 2
HM == (WM + 1) \div 2

VARIABLES gen,    \* [Node -> generation]
          last,   \* the newest generation in the journal
          cap,    \* [Node -> recordings that are not whole]
          over,   \* [Node -> snapshots that were given up]
          parts, commits, \* the store; commits: ids in the order of the journal
          cn,     \* [Chan -> both ends and what is between]
          count
vars == <<gen, last, cap, over, parts, commits, cn, count>>

Size(m) == IF m[2] \in Big THEN BigSize ELSE 1
SizeR(m) == IF m[2] \in Big THEN BigSizeR ELSE 1
RECURSIVE Weight(_), WeightR(_)
Weight(s) == IF s = <<>> THEN 0 ELSE Size(Head(s)) + Weight(Tail(s))
WeightR(s) == IF s = <<>> THEN 0 ELSE SizeR(Head(s)) + WeightR(Tail(s))
Max2(a, b) == IF a > b THEN a ELSE b

\* out, ctl: entries [t, v, n]; n is the number where it is given at entry (a mutant), else 0.
\* Sender (credit.rs): dep, what has departed in this generation and is not known to be taken (in the code, its weights); win, what
\* the receiver has told; known, how many it has told as taken; asked: an Ask is out since the last grant.
\* Receiver (intake.rs): unt; rep, how many of them are replayed; taken, those of this generation that were taken; owed, owedM: weight
\* and number of what was taken and not told; want: an Ask has come; lim: how many may have departed, by the grants so far.
Unheard == [m |-> W0, w |-> W0, whole |-> FALSE, heard |-> W0 > 0]
Fresh(win) == [out |-> <<>>, ctl |-> <<>>, pend |-> <<>>, wire |-> <<>>, nent |-> 0, nout |-> 0, nin |-> 0,
          dep |-> <<>>, win |-> win, known |-> 0, asked |-> FALSE,
          unt |-> <<>>, rep |-> 0, taken |-> 0, arr |-> 0, owed |-> 0, owedM |-> 0, want |-> FALSE, lim |-> WM,
          sent |-> <<>>, recvd |-> <<>>]
Init == /\ gen = [p \in Node |-> 1] /\ last = 1 /\ cap = [p \in Node |-> {}] /\ over = [p \in Node |-> {}]
        /\ parts = {} /\ commits = <<>>
        /\ cn = [c \in Chan |-> Fresh([m |-> WM, w |-> W, whole |-> TRUE, heard |-> TRUE])]
        /\ count = [snap |-> 0, break |-> 0, abort |-> 0, dead |-> 0]

\* F1: the number is given at departure. So is the generation; a rollback empties the queues, so that all in them is of one.
Entry(x, t, v) == [t |-> t, v |-> v, n |-> IF Has("NumbersAtEntry") THEN x.nent + 1 ELSE 0]
Post(x, c, t, v) == [x EXCEPT ![c].ctl = Append(@, Entry(x[c], t, v)), ![c].nent = @ + 1]
PostMsg(x, c, t, v) == [x EXCEPT ![c].out = Append(@, Entry(x[c], t, v)), ![c].nent = @ + 1]
RECURSIVE PostAll(_, _, _, _)
PostAll(x, cs, t, v) == IF cs = {} THEN x ELSE LET c == CHOOSE c \in cs : TRUE IN PostAll(Post(x, c, t, v), cs \ {c}, t, v)
MsgsOf(es) == LET ms == SelectSeq(es, LAMBDA e : e.t = "m") IN [i \in 1..Len(ms) |-> ms[i].v]
Wired(c, g) == MsgsOf(SelectSeq(cn[c].wire, LAMBDA f : f.g = g))

--------------------------------------------------------------------------
\* The application: SnapshotCoordinator::send, Outbox::post_message; take_message, Intake::take
Full(c) == Len(cn[c].out) >= OutMax
Send(c) == LET p == c[1] IN
  /\ p \in Senders /\ Len(cn[c].sent) < MaxSend /\ ~Full(c)
  /\ LET m == <<gen[p], Len(cn[c].sent) + 1>> IN cn' = PostMsg([cn EXCEPT ![c].sent = Append(@, m)], c, "m", m)
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>
Resend(c) == /\ cn[c].pend # <<>> /\ cn' = [cn EXCEPT ![c].out = @ \o cn[c].pend, ![c].pend = <<>>]
             /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>
Take(c) == LET x == cn[c] m == Head(x.unt) IN
  /\ x.unt # <<>> /\ (Has("TakeNeedsRoom") => \A d \in Out(c[2]) : ~Full(d))
  /\ cn' = [cn EXCEPT ![c].unt = Tail(@), ![c].recvd = Append(@, m), ![c].owed = @ + SizeR(m), ![c].owedM = @ + 1,
                      ![c].rep = IF @ > 0 THEN @ - 1 ELSE 0, ![c].taken = IF x.rep > 0 THEN @ ELSE @ + 1]
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>

--------------------------------------------------------------------------
\* W2 grants: how many of this generation are taken, and the window, less what is replayed and not taken (Intake::grant)
GrantOf(x) == LET rep == IF Has("ReplayNotCounted") THEN 0 ELSE x.rep IN
  [taken |-> IF Has("GrantOnArrival") THEN x.arr ELSE x.taken, m |-> Max2(0, WM - rep),
   w |-> Max2(0, W - WeightR(SubSeq(x.unt, 1, rep))), whole |-> rep = 0]
\* post_grant. Behind all markers that were posted before: what it allows to depart then stands behind the sender's own marker
\* (RecordBound).
PutGrant(x, d, v) == IF Has("GrantsOvertake") THEN [x EXCEPT ![d].ctl = <<Entry(x[d], "g", v)>> \o @] ELSE Post(x, d, "g", v)
PostGrant(x, c) == LET g == GrantOf(x[c]) IN
  PutGrant([x EXCEPT ![c].owed = 0, ![c].owedM = 0, ![c].want = FALSE,
                     ![c].lim = Max2(@, g.taken + Max2(g.m, IF g.whole THEN 1 ELSE 0))], Hop(c[2], c[1]), <<c, g>>)
\* post_grant_if_due
Grant(c) == LET x == cn[c] IN
  /\ \/ x.owed >= H \/ x.owedM >= HM \/ (Has("GrantOnArrival") /\ x.arr > x.taken)
     \/ x.want /\ x.unt = <<>>
  /\ cn' = PostGrant(cn, c)
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>
\* Credit::granted. Cumulative; where nothing was taken in between, the window only grew.
Apply(x, c, g) == LET y == x[c] n == g.taken - y.known IN IF n < 0 THEN x ELSE
  [x EXCEPT ![c].dep = SubSeq(@, n + 1, Len(@)), ![c].known = g.taken, ![c].asked = FALSE,
            ![c].win = [m |-> IF n = 0 THEN Max2(g.m, @.m) ELSE g.m, w |-> IF n = 0 THEN Max2(g.w, @.w) ELSE g.w,
                        whole |-> g.whole \/ (n = 0 /\ @.whole), heard |-> TRUE]]
\* W1: Credit::departable, lets_one_go
Account(x) == Weight(x.dep)
Fits(x, m) == \/ x.win.heard /\ Account(x) + Size(m) <= x.win.w /\ Len(x.dep) < x.win.m
              \/ ~Has("LargeStuck") /\ x.dep = <<>> /\ x.win.whole
IsMsg(c) == cn[c].out # <<>> /\ Head(cn[c].out).t = "m"
Departed(x, c, e, q) == LET n == IF Has("NumbersAtEntry") THEN e.n ELSE x[c].nout + 1 IN
  [x EXCEPT ![c].wire = Append(@, [g |-> gen[c[1]], n |-> n, t |-> e.t, v |-> e.v]), ![c].nout = n]
\* Outbox::take: a batch is all control, then what the window lets go. Here one frame at a time, which is finer.
DepartMsg(c) == LET x == cn[c] e == Head(x.out) IN
  /\ x.out # <<>> /\ (x.ctl = <<>> \/ Has("MsgBeforeControl"))
  /\ e.t = "m" => Fits(x, e.v)
  /\ cn' = [Departed(cn, c, e, 0) EXCEPT ![c].out = Tail(@), ![c].dep = IF e.t = "m" THEN Append(@, e.v) ELSE @]
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>
DepartCtl(c) == LET x == cn[c] IN
  /\ x.ctl # <<>> /\ (Has("ControlCounted") => Account(x) < x.win.w)
  /\ cn' = [Departed(cn, c, Head(x.ctl), 0) EXCEPT ![c].ctl = Tail(@)]
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>
\* W2: who is held up, and cannot count on half a window being taken, asks (Credit::wants_to_ask, review)
Ask(c) == LET x == cn[c] IN
  /\ IsMsg(c) /\ ~x.asked /\ ~Has("NoAsk") /\ x.win.heard /\ ~Fits(x, Head(x.out).v)
  /\ ~(x.win.whole /\ Len(x.dep) >= (x.win.m + 1) \div 2)
  /\ cn' = Post([cn EXCEPT ![c].asked = TRUE], c, "q", 0)
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>

--------------------------------------------------------------------------
\* Recording: snapshotting::begin takes the state, what is untaken and what has not departed, and posts the markers, in one step
\* (W6, Outbox::undeparted). So the state of a channel is what its receiver records, then what its sender records.
Turn(p) == LET RECURSIVE S(_)
               S(cs) == IF cs = {} THEN 0 ELSE LET c == CHOOSE c \in cs : TRUE IN
                        (IF c[1] = p THEN Len(cn[c].sent) ELSE IF c[2] = p THEN Len(cn[c].recvd) ELSE 0) + S(cs \ {c})
           IN S(Chan)
OutRec(p, c) == IF Has("NoOutRec") \/ Has("MarkerBehind") THEN <<>>
  ELSE IF Has("SharedOut") /\ \E r \in cap[p] : TRUE THEN (CHOOSE r \in cap[p] : TRUE).rec[c] ELSE MsgsOf(cn[c].out)
Recording(p, id, but) == [id |-> id, turn |-> Turn(p), open |-> In(p) \ but,
  log |-> [c \in Chan |-> IF c[1] = p THEN cn[c].sent ELSE IF c[2] = p THEN cn[c].recvd ELSE <<>>],
  rec |-> [c \in Chan |-> IF c[1] = p THEN OutRec(p, c) ELSE IF c[2] = p THEN cn[c].unt ELSE <<>>]]
Whole(id) == \A p \in Node : \E x \in parts : x.id = id /\ x.p = p
PartOf(id, p) == CHOOSE x \in parts : x.id = id /\ x.p = p
Store(p, rs) == /\ cap' = [cap EXCEPT ![p] = {r \in rs : r.open # {}}]
                /\ parts' = parts \cup {[p |-> p, id |-> r.id, turn |-> r.turn, log |-> r.log, rec |-> r.rec] :
                                       r \in {r \in rs : r.open = {}}}
Markers(x, p, id) == IF Has("MarkerBehind")
  THEN LET RECURSIVE All(_, _)
           All(y, cs) == IF cs = {} THEN y ELSE LET c == CHOOSE c \in cs : TRUE IN All(PostMsg(y, c, "k", id), cs \ {c})
       IN All(x, Out(p))
  ELSE PostAll(x, Out(p), "k", id)
Initiate(p) == LET id == <<gen[p], count.snap + 1, p>> IN
  /\ p \in Initiators /\ count.snap < MaxSnap /\ count' = [count EXCEPT !.snap = @ + 1]
  /\ Store(p, cap[p] \cup {Recording(p, id, {})}) /\ cn' = Markers(cn, p, id)
  /\ UNCHANGED <<gen, last, over, commits>>
Begun(p, id) == id \in over[p] \/ (\E r \in cap[p] : r.id = id) \/ (\E x \in parts : x.id = id /\ x.p = p)
\* give_up: its markers that have not departed are taken back (Outbox::forget_marker), and the outcome is told
Forget(x, p, id) ==
  [c \in Chan |-> IF c[1] = p THEN [x[c] EXCEPT !.ctl = SelectSeq(@, LAMBDA e : ~(e.t = "k" /\ e.v = id))] ELSE x[c]]
DropSnap(p, id) == /\ cap' = [cap EXCEPT ![p] = {r \in @ : r.id # id}] /\ over' = [over EXCEPT ![p] = @ \cup {id}]
GiveUp(p, id) == /\ count.abort < MaxAbort /\ count' = [count EXCEPT !.abort = @ + 1]
                 /\ DropSnap(p, id) /\ cn' = PostAll(Forget(cn, p, id), Out(p), "a", id)
                 /\ UNCHANGED <<gen, last, parts, commits>>
Commit(id) == /\ id[1] = last /\ Whole(id) /\ \A i \in 1..Len(commits) : commits[i] # id
              /\ commits # <<>> => \A p \in Node : PartOf(id, p).turn >= PartOf(commits[Len(commits)], p).turn
              /\ commits' = Append(commits, id) /\ UNCHANGED <<gen, last, cap, over, parts, cn, count>>

--------------------------------------------------------------------------
\* Arrival never waits for the application (W1, wants_frames): arrival.rs, flow.rs
Reads(q) == Has("StopsAtFullOutbox") => \A d \in Out(q) : ~Full(d)
Accept(c) == LET q == c[2] f == Head(cn[c].wire) x == [cn EXCEPT ![c].wire = Tail(@), ![c].nin = f.n] IN
  /\ cn[c].wire # <<>> /\ f.g = gen[q] /\ f.n = cn[c].nin + 1 /\ Reads(q)
  /\ CASE f.t = "h" -> /\ cn' = IF cn[c].nin = 0 /\ MaxTaken > 0 /\ <<q, c[1]>> \in Chan /\ ~Has("NoGreetBack")
                                THEN Post(x, <<q, c[1]>>, "h", 0) ELSE x   \* greeted
                       /\ UNCHANGED <<cap, over, parts>>
       [] f.t = "m" -> /\ cn' = [x EXCEPT ![c].unt = Append(@, f.v), ![c].arr = @ + 1]
                       /\ cap' = [cap EXCEPT ![q] = {IF c \in r.open THEN [r EXCEPT !.rec[c] = Append(@, f.v)] ELSE r : r \in @}]
                       /\ UNCHANGED <<over, parts>>
       [] f.t = "g" -> /\ cn' = IF f.v[1][1] = q THEN Apply(x, f.v[1], f.v[2]) ELSE PutGrant(x, Hop(q, f.v[1][1]), f.v)
                       /\ UNCHANGED <<cap, over, parts>>
       [] f.t = "q" -> cn' = [x EXCEPT ![c].want = TRUE] /\ UNCHANGED <<cap, over, parts>>
       [] f.t = "a" -> /\ DropSnap(q, f.v) /\ UNCHANGED parts
                       /\ cn' = IF f.v \in over[q] THEN x ELSE PostAll(Forget(x, q, f.v), Out(q), "a", f.v)
       [] f.t = "k" -> UNCHANGED over /\
                       IF Begun(q, f.v)
                       THEN cn' = x /\ Store(q, {IF r.id = f.v THEN [r EXCEPT !.open = @ \ {c}] ELSE r : r \in cap[q]})
                       ELSE cn' = Markers(x, q, f.v) /\ Store(q, cap[q] \cup {Recording(q, f.v, {c})})
  /\ UNCHANGED <<gen, last, commits, count>>
Drop(c) == LET f == Head(cn[c].wire) x == [cn EXCEPT ![c].wire = Tail(@)] IN
  /\ cn[c].wire # <<>> /\ f.g < gen[c[2]]
  /\ cn' = IF Has("OldGrants") /\ f.t = "g" /\ f.v[1][1] = c[2]
           THEN Apply(x, f.v[1], f.v[2]) ELSE x
  /\ UNCHANGED <<gen, last, cap, over, parts, commits, count>>

--------------------------------------------------------------------------
\* Rollback (handle_restored): the start is the last commit before the generation's record. The receiver's record stands at the
\* head of its queue, the sender's is the first to depart (W7); counts, weights and grants begin anew (W3).
Start(g) == LET js == {i \in 1..Len(commits) : commits[i][1] < g} IN
            IF js = {} THEN <<>> ELSE commits[CHOOSE i \in js : \A j \in js : j <= i]
Entries(ms) == [i \in 1..Len(ms) |-> [t |-> "m", v |-> ms[i], n |-> 0]]
MaxLen(S) == CHOOSE x \in S : \A y \in S : y <= x
RECURSIVE First(_, _)
First(x, cs) == IF cs = {} THEN x ELSE LET c == CHOOSE c \in cs : TRUE IN
                First(PostGrant(x, c), cs \ {c})
Restored(p, g) == LET k == Start(g) part == PartOf(k, p)
                      lg(c) == IF k = <<>> THEN <<>> ELSE part.log[c]
                      rc(c) == IF k = <<>> THEN <<>> ELSE part.rec[c] IN
  First(PostAll([c \in Chan |->
     IF c[1] = p THEN [cn[c] EXCEPT !.out = IF Has("ResentBehind") \/ Has("NotResent") THEN <<>> ELSE Entries(rc(c)),
                                    !.pend = IF Has("ResentBehind") THEN Entries(rc(c)) ELSE <<>>,
                                    !.ctl = <<>>, !.nent = 0, !.nout = 0, !.dep = <<>>,
                                    !.win = Unheard, !.known = 0, !.asked = FALSE, !.sent = lg(c)]
     ELSE IF c[2] = p THEN [cn[c] EXCEPT !.nin = 0, !.unt = rc(c), !.rep = Len(rc(c)), !.taken = 0, !.arr = 0, !.owed = 0,
                                         !.owedM = 0, !.want = FALSE, !.lim = W0, !.recvd = lg(c)]
     ELSE cn[c]], Out(p), "h", 0), In(p))
Roll(p, g) == /\ gen' = [gen EXCEPT ![p] = g] /\ cap' = [cap EXCEPT ![p] = {}] /\ over' = [over EXCEPT ![p] = {}]
              /\ cn' = Restored(p, g)
\* F3, a look at the journal
Join(p) == gen[p] < last /\ Roll(p, last) /\ UNCHANGED <<last, parts, commits, count>>
\* a process dies and is started again (S1). What was on the wires is of an older generation for all from here on.
Crash(p) == last < MaxGen /\ last' = last + 1 /\ Roll(p, last + 1) /\ UNCHANGED <<parts, commits, count>>
\* It dies before it sits in the newest generation, and with it frames that it held; its successor joins, untold of.
Swallow(p) == /\ gen[p] < last /\ count.dead < MaxTaken /\ count' = [count EXCEPT !.dead = @ + 1]
              /\ \E d \in [In(p) -> 0..MaxLen({Len(cn[c].wire) : c \in In(p)})] :
                 /\ \A c \in In(p) : d[c] <= Len(cn[c].wire)
                 /\ cn' = [c \in Chan |-> IF c[2] = p THEN [cn[c] EXCEPT !.wire = SubSeq(@, d[c] + 1, Len(@))] ELSE cn[c]]
              /\ UNCHANGED <<gen, last, cap, over, parts, commits>>
\* F2; F4: a connection breaks and comes back, and what was under way is lost from some point on, either way
Break(c) == LET b == <<c[2], c[1]>> IN
  /\ c[1] < c[2] /\ b \in Chan /\ count.break < MaxBreak /\ count' = [count EXCEPT !.break = @ + 1]
  /\ \E i \in 0..Len(cn[c].wire), j \in 0..Len(cn[b].wire) :
       LET x == [cn EXCEPT ![c].wire = SubSeq(@, 1, i), ![b].wire = SubSeq(@, 1, j)] IN
       cn' = PostGrant(PostGrant(Post(Post(x, c, "h", 0), b, "h", 0), c), b)
  /\ UNCHANGED <<gen, last, cap, over, parts, commits>>
Gap(c) == LET q == c[2] f == Head(cn[c].wire) IN
  /\ cn[c].wire # <<>> /\ f.g = gen[q] /\ f.n # cn[c].nin + 1 /\ last = gen[q] /\ last < MaxGen + MaxBreak + MaxTaken
  /\ last' = last + 1 /\ Roll(q, last + 1) /\ UNCHANGED <<parts, commits, count>>

Net == \/ \E c \in Chan : Grant(c) \/ DepartMsg(c) \/ DepartCtl(c) \/ Ask(c) \/ Accept(c) \/ Drop(c) \/ Gap(c) \/ Resend(c)
       \/ \E p \in Node : Join(p)
       \/ \E id \in {x.id : x \in parts} : Commit(id)
Next == \/ Net \/ \E c \in Chan : Send(c) \/ Take(c) \/ Break(c)
        \/ \E p \in Node : Initiate(p) \/ Crash(p) \/ Swallow(p)
        \/ MaxAbort > 0 /\ \E p \in Node : \E r \in cap[p] : GiveUp(p, r.id)
Spec == Init /\ [][Next]_vars
Fair == /\ \A c \in Chan : /\ WF_vars(Grant(c)) /\ WF_vars(DepartMsg(c)) /\ WF_vars(DepartCtl(c)) /\ WF_vars(Ask(c)) /\ WF_vars(Accept(c))
                           /\ WF_vars(Drop(c)) /\ WF_vars(Gap(c)) /\ WF_vars(Resend(c)) /\ WF_vars(Send(c))
                           /\ c[2] \in Takers => WF_vars(Take(c))
        /\ \A p \in Node : WF_vars(Join(p))
LiveSpec == Spec /\ Fair

--------------------------------------------------------------------------
\* What must hold
ChannelExact == \A id \in {x.id : x \in parts} : Whole(id) => \A c \in Chan :
  PartOf(id, c[1]).log[c] = PartOf(id, c[2]).log[c] \o PartOf(id, c[2]).rec[c] \o PartOf(id, c[1]).rec[c]
NoGap == \A c \in Chan : cn[c].wire # <<>> /\ Head(cn[c].wire).g = gen[c[2]] => Head(cn[c].wire).n = cn[c].nin + 1
Bounded(ms) == (Weight(ms) <= W /\ Len(ms) <= WM) \/ Len(ms) = 1
\* sent and not taken, what is replayed included
Window == \A c \in Chan : Bounded(cn[c].unt \o Wired(c, gen[c[2]]))
\* what a receiver records on a channel
RecordBound == /\ \A p \in Node : \A r \in cap[p] : \A c \in In(p) : Bounded(r.rec[c])
               /\ \A x \in parts : \A c \in In(x.p) : Bounded(x.rec[c])
\* F3: what is held is control only (W0 = 0)
NoHeldMessage == \A c \in Chan : \A i \in 1..Len(cn[c].wire) : cn[c].wire[i].t = "m" => cn[c].wire[i].g <= gen[c[2]]
IsPrefix(s, t) == Len(s) <= Len(t) /\ \A i \in 1..Len(s) : s[i] = t[i]
Same(c) == gen[c[1]] = gen[c[2]]
InOrder(c) == LET fs == SelectSeq(cn[c].wire, LAMBDA f : f.g = gen[c[2]]) IN
              /\ Len(fs) = cn[c].nout - cn[c].nin /\ \A i \in 1..Len(fs) : fs[i].n = cn[c].nin + i
ExactlyOnce == \A c \in Chan : Same(c) =>
  /\ IsPrefix(cn[c].recvd \o cn[c].unt, cn[c].sent)
  /\ InOrder(c) => cn[c].recvd \o cn[c].unt \o Wired(c, gen[c[1]]) \o MsgsOf(cn[c].out) \o MsgsOf(cn[c].pend) = cn[c].sent
\* W11: nobody who keeps to the rules sends more than the receiver counts on (Intake::arrive)
NeverAccused == \A c \in Chan : cn[c].arr <= cn[c].lim
\* Liveness: no snapshot waits for an application; everything is taken
SnapEnds == \A p \in Initiators, s \in 1..MaxSnap, g \in 1..MaxGen : LET id == <<g, s, p>> IN
            (\E q \in Node : Begun(q, id)) ~> (Whole(id) \/ last > g \/ \E q \in Node : id \in over[q])
AllTaken == <>[](\A c \in Chan : c[1] \in Senders => Len(cn[c].recvd) = MaxSend)
\* Reachability: expected to be violated
NeverSplit == \A id \in {x.id : x \in parts} : Whole(id) =>
  ~\E c \in Chan : PartOf(id, c[2]).rec[c] # <<>> /\ PartOf(id, c[1]).rec[c] # <<>>
NeverReplays == \A c \in Chan : ~(Same(c) /\ gen[c[1]] > 1 /\ cn[c].rep > 0 /\ IsMsg(c) /\ Head(cn[c].out).v[1] = 1)
=============================================================================
