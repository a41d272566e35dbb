----------------------------- MODULE Journal -----------------------------
(* The store as `snapshot-core` uses it, one operation at a time: the journal whose records are created only at a free index,
   answers that are lost and creations that take effect later than anybody waits for them, seats, several processes of one
   node one after the other or at once, whole sets that are committed at a start, retention. There are no messages: a
   snapshot is whole when each node has put its part of it, and a part has the turn that its node had reached.
   Channels and frames are in Snapshot.tla.
   Run: java -cp tla2tools.jar tlc2.TLC -deadlock -config Journal-races.cfg Journal.tla          Results: README.md *)
EXTENDS Integers, Sequences, FiniteSets
CONSTANTS Nodes,      \* number of nodes
          Lives,      \* number of processes that each node may have
          MaxGen, MaxSeq, MaxTurn,
          Initiators, \* whose snapshots there are
          Keep,       \* retention: how many commits are kept; 0: all
          Errors,     \* how many creations may be reported as failed
          Mut
Node == 1..Nodes
Proc == {<<p, i>> : p \in Node, i \in 1..Lives}
Has(m) == m \in Mut
Ids == {<<g, s, i>> : g \in 1..MaxGen, s \in 1..MaxSeq, i \in Initiators}
NONE == [t |-> "-"]

VARIABLES
  pr,       \* [Proc -> a process, see Off]
  wire,     \* creations of records that have been asked for and have not happened: [i |-> index, r |-> record]
  parts,    \* [k, p, turn]
  journal, seats,
  errors
vars == <<pr, wire, parts, journal, seats, errors>>

\* pc: "off", "start", "gap" (its generation has lost something), "newer" (it has left its generation), "load" (it has its seat),
\* "run", "dead"
Off == [pc |-> "off", g |-> 0, rd |-> 0,
        ask |-> NONE,     \* the record that it waits for
        looked |-> 0,     \* the generation whose whole sets it has looked for
        turn |-> 0,
        made |-> [i \in Initiators |-> 0],   \* the last sequence of each initiator that it has put a part of
        dels |-> {}]      \* parts that it is about to delete
Max(S) == CHOOSE x \in S : \A y \in S : y <= x

Gen(g) == [t |-> "G", g |-> g]
Com(k, turns) == [t |-> "C", g |-> k[1], k |-> k, turns |-> turns]
\* k, and what its initiator began before it in this generation, will never be committed
Dis(k) == [t |-> "D", g |-> k[1], k |-> k]
Gens(j) == {i \in 1..Len(j) : j[i].t = "G"}
Coms(j) == {i \in 1..Len(j) : j[i].t = "C"}
Newest(j) == IF Gens(j) = {} THEN 0 ELSE j[Max(Gens(j))].g
Restart(j) == IF Coms(j) = {} THEN <<>> ELSE j[Max(Coms(j))].k
StartOf(j, g) == LET i == CHOOSE i \in Gens(j) : j[i].g = g IN Restart(SubSeq(j, 1, i - 1))
Own(j) == {i \in Coms(j) : j[i].g = Newest(j)}
IsIn(j, k) == \E i \in Coms(j) : j[i].k = k
Discards(j) == {i \in 1..Len(j) : j[i].t = "D" /\ j[i].g = Newest(j)}
Covering(j, S, k) == \E i \in S : j[i].k[1] = k[1] /\ j[i].k[3] = k[3] /\ j[i].k[2] >= k[2]
Settled(j, k) == Covering(j, Own(j), k) \/ Covering(j, Discards(j), k)
HasPart(k, p) == \E x \in parts : x.k = k /\ x.p = p
Whole(k) == \A p \in Node : HasPart(k, p)
TurnsOf(k) == [p \in Node |-> IF HasPart(k, p) THEN (CHOOSE x \in parts : x.k = k /\ x.p = p).turn ELSE 0]
\* Record::commit: J3, J5, J6
MayCommit(j, k, turns) ==
  /\ k[1] = Newest(j) \/ Has("LateCommit")
  /\ ~IsIn(j, k) \/ Has("CommitTwice")
  /\ (\E i \in Own(j) : j[i].k[3] = k[3] /\ j[i].k[2] > k[2]) => Has("CommitBackwards")
  /\ Covering(j, Discards(j), k) => Has("DiscardedCommits")
  /\ (Own(j) # {} => \A q \in Node : turns[q] >= j[Max(Own(j))].turns[q]) \/ Has("Crossing")
Kept(j) == {j[i].k : i \in {i \in Coms(j) : Keep = 0 \/ Cardinality({m \in Coms(j) : m > i}) < Keep}}
\* Record::doomed
Doomed(j) == IF Keep = 0 THEN {} ELSE
  {x \in parts : x.k \notin Kept(j) /\ (x.k[1] < Newest(j) \/ Settled(j, x.k) \/ Has("SweepCurrent"))}
\* Leftovers::learn: a part that no later record commits, and none before has
Dead(j, x) == /\ ~IsIn(j, x.k)
              /\ \/ x.k[1] < Newest(j) \/ Settled(j, x.k) \/ Has("GivenUpIsGone")
                 \/ x.k[1] = Newest(j) /\ Own(j) # {} /\ x.turn < j[Max(Own(j))].turns[x.p]
See(l) == SubSeq(journal, 1, pr[l].rd)
Set(l, s) == pr' = [pr EXCEPT ![l] = s]

Init == /\ pr = [l \in Proc |-> Off] /\ wire = {} /\ parts = {} /\ journal = <<>> /\ seats = {} /\ errors = 0

\* Processes come and go. A later process of a node may start while an earlier one is only paused.
Boot(l) == /\ pr[l].pc = "off" /\ (l[2] > 1 => pr[<<l[1], l[2] - 1>>].pc # "off")
           /\ Set(l, [Off EXCEPT !.pc = "start"]) /\ UNCHANGED <<wire, parts, journal, seats, errors>>
Kill(l) == /\ pr[l].pc \notin {"off", "dead"} /\ l[2] < Lives /\ Set(l, [Off EXCEPT !.pc = "dead"])
           /\ UNCHANGED <<wire, parts, journal, seats, errors>>
Alive(l) == pr[l].pc \notin {"off", "dead"}
Recovers(l) == pr[l].pc \in {"start", "gap", "newer"}

\* read_next, and the answers New and Exists to a creation: either way there is a record to read (learn)
Read(l) == LET s == pr[l] r == journal[s.rd + 1] IN
  /\ Alive(l) /\ s.rd < Len(journal)
  /\ Set(l, [s EXCEPT !.rd = @ + 1, !.ask = NONE,
       !.pc = IF r.t = "G" /\ r.g > s.g /\ @ \in {"run", "gap", "load"} /\ ~Has("NoLeave") THEN "newer" ELSE @])
  /\ UNCHANGED <<wire, parts, journal, seats, errors>>
\* J1: a record is asked for at the index after the last one that was read
Ask(l, r) == /\ pr[l].ask = NONE
             /\ Set(l, [pr[l] EXCEPT !.ask = r]) /\ wire' = wire \cup {[i |-> pr[l].rd + 1, r |-> r]}
             /\ UNCHANGED <<parts, journal, seats, errors>>
\* it happens, if the index is free
Create(w) == /\ w \in wire /\ wire' = wire \ {w}
             /\ journal' = IF w.i = Len(journal) + 1 \/ Has("Unconditional") THEN Append(journal, w.r) ELSE journal
             /\ UNCHANGED <<pr, parts, seats, errors>>
\* the store reports an error, and nothing is there when the process looks (confirmed): the creation may yet happen
Failed(l) == /\ pr[l].ask # NONE /\ pr[l].rd = Len(journal) /\ errors < Errors /\ errors' = errors + 1
             /\ Set(l, [pr[l] EXCEPT !.ask = NONE]) /\ UNCHANGED <<wire, parts, journal, seats>>

\* decide
Taken(l, g) == \E x \in seats : x[1] = g /\ x[2] = l[1] /\ x[3] # l[2]
Mine(l, g) == <<g, l[1], l[2]>> \in seats
Opens(l) == LET s == pr[l] n == Newest(See(l)) IN
  \/ s.pc = "gap" /\ n = s.g
  \/ s.pc = "start" /\ n > 0 /\ Taken(l, n) /\ ~Has("NoSeats")
Looks(l) == LET n == Newest(See(l)) IN Recovers(l) /\ n > 0 /\ (Opens(l) \/ pr[l].pc = "start") /\ pr[l].looked # n
Found(l) == {k \in Ids : Whole(k) /\ k[1] = Newest(See(l)) /\ ~Settled(See(l), k) /\ MayCommit(See(l), k, TurnsOf(k))}
CommitFound(l) == Looks(l) /\ \E k \in Found(l) : Ask(l, Com(k, TurnsOf(k)))
Look(l) == /\ Looks(l) /\ pr[l].ask = NONE /\ Found(l) = {} /\ Set(l, [pr[l] EXCEPT !.looked = Newest(See(l))])
           /\ UNCHANGED <<wire, parts, journal, seats, errors>>
Open(l) == LET n == Newest(See(l)) IN
  /\ Recovers(l) /\ n < MaxGen
  /\ (pr[l].pc = "start" /\ pr[l].rd = 0) \/ (Opens(l) /\ pr[l].looked = n)
  /\ Ask(l, Gen(n + 1))
\* seat_held: a seat is taken, or a process that ran and finds it taken has been replaced
Sit(l) == LET s == pr[l] n == Newest(See(l)) IN
  /\ Recovers(l) /\ s.ask = NONE /\ n > s.g /\ ~Opens(l) /\ (s.pc = "start" => s.looked = n)
  /\ IF Taken(l, n) /\ ~Has("NoSeats") THEN Set(l, [s EXCEPT !.pc = "dead"]) /\ UNCHANGED seats
     ELSE Set(l, [s EXCEPT !.pc = "load", !.g = n]) /\ seats' = seats \cup {<<n, l[1], l[2]>>}
  /\ UNCHANGED <<wire, parts, journal, errors>>
\* load, handle_restored
Restore(l) == LET s == pr[l] k == StartOf(See(l), s.g) IN
  /\ s.pc = "load" /\ (k = <<>> \/ HasPart(k, l[1]))
  /\ Set(l, [s EXCEPT !.pc = "run", !.looked = 0, !.made = Off.made, !.turn = IF k = <<>> THEN 0 ELSE TurnsOf(k)[l[1]]])
  /\ UNCHANGED <<wire, parts, journal, seats, errors>>
\* F2: frames of its generation are missing
Gap(l) == /\ pr[l].pc = "run" /\ pr[l].g < MaxGen /\ Set(l, [pr[l] EXCEPT !.pc = "gap", !.ask = NONE])
          /\ UNCHANGED <<wire, parts, journal, seats, errors>>

Work(l) == /\ pr[l].pc = "run" /\ pr[l].turn < MaxTurn /\ Set(l, [pr[l] EXCEPT !.turn = @ + 1])
           /\ UNCHANGED <<wire, parts, journal, seats, errors>>
\* A part of the next snapshot of an initiator is durable. Markers of one initiator come in the order of their sequences.
Put(l, i) == LET s == pr[l] k == <<s.g, s.made[i] + 1, i>> IN
  /\ s.pc = "run" /\ s.made[i] < MaxSeq
  /\ Set(l, [s EXCEPT !.made[i] = @ + 1])
  /\ parts' = {x \in parts : ~(x.k = k /\ x.p = l[1])} \cup {[k |-> k, p |-> l[1], turn |-> s.turn]}
  /\ UNCHANGED <<wire, journal, seats, errors>>
\* commit_next: the initiator has all receipts (J4)
Commit(l, k) == LET some == Has("PartialSet") /\ \E p \in Node : HasPart(k, p) IN
  /\ pr[l].pc = "run" /\ k[1] = pr[l].g /\ k[3] = l[1] /\ (Whole(k) \/ some)
  /\ MayCommit(See(l), k, TurnsOf(k)) /\ Ask(l, Com(k, TurnsOf(k)))
\* sweep, swept: decided on what was read, done one by one, later
Sweep(l) == /\ pr[l].pc = "run" /\ pr[l].dels = {} /\ Doomed(See(l)) # {} /\ Set(l, [pr[l] EXCEPT !.dels = Doomed(See(l))])
            /\ UNCHANGED <<wire, parts, journal, seats, errors>>
Delete(l) == /\ Alive(l) /\ \E x \in pr[l].dels : parts' = parts \ {x} /\ Set(l, [pr[l] EXCEPT !.dels = @ \ {x}])
             /\ UNCHANGED <<wire, journal, seats, errors>>

\* J6: given up, whoever began it and why: discarded by one who has a part of it
Discard(l, k) == /\ pr[l].pc = "run" /\ k[1] = pr[l].g /\ HasPart(k, l[1]) /\ ~Settled(See(l), k) /\ Ask(l, Dis(k))
\* dead_parts: a node deletes its own parts that nobody can need
Remove(l) == /\ pr[l].pc = "run" /\ \E x \in parts : x.p = l[1] /\ Dead(See(l), x) /\ parts' = parts \ {x}
             /\ UNCHANGED <<pr, wire, journal, seats, errors>>

Next == \/ \E l \in Proc : \/ Boot(l) \/ Kill(l) \/ Read(l) \/ Failed(l) \/ CommitFound(l) \/ Look(l) \/ Open(l) \/ Sit(l)
                           \/ Restore(l) \/ Gap(l) \/ Work(l) \/ Sweep(l) \/ Delete(l) \/ Remove(l)
                           \/ \E i \in Initiators : Put(l, i)
                           \/ \E k \in Ids : Commit(l, k) \/ Discard(l, k)
        \/ \E w \in wire : Create(w)
Spec == Init /\ [][Next]_vars

--------------------------------------------------------------------------
View(n) == SubSeq(journal, 1, n)
OneCommitPerId == \A i, j \in Coms(journal) : journal[i].k = journal[j].k => i = j
LineageLinear == \A i \in 1..Len(journal) : LET before == Newest(View(i - 1)) IN
  IF journal[i].t = "G" THEN journal[i].g = before + 1 ELSE journal[i].g = before
\* no later commit of the lineage is behind an earlier one on any node
Covers == \A i, j \in Coms(journal) : i < j => \A p \in Node : journal[i].turns[p] <= journal[j].turns[p]
\* the commits that are kept can be read
Restorable == \A k \in Kept(journal) : Whole(k)
\* a process that cannot load its part has something newer to read
LoadOrNewer == \A l \in Proc : pr[l].pc = "load" =>
  LET k == StartOf(See(l), pr[l].g) IN k = <<>> \/ HasPart(k, l[1]) \/ Newest(journal) > pr[l].g
\* what runs is not behind what was committed when its generation began
NotBehind == \A l \in Proc : pr[l].pc = "run" => LET k == StartOf(journal, pr[l].g) IN
  k # <<>> => \A i \in Coms(journal) : journal[i].k = k => pr[l].turn >= journal[i].turns[l[1]]
\* no two processes act for one node in one generation
OneLife == /\ \A x, y \in seats : x[1] = y[1] /\ x[2] = y[2] => x = y
           /\ \A l \in Proc : pr[l].pc \in {"load", "run", "gap"} => Mine(l, pr[l].g)
=============================================================================
