/* ---- The owner, with the mutex held ---------------------------------------------------------------------- */

/* What is done while the mutex is held: one look a step, or all in one step. */
#ifdef ONE_LOOK_A_STEP
#define HOLD(guard) { d_step { guard && mutex == 0 -> mutex = 1; DRAIN };
#define STEP d_step {
#define STEPS atomic {
#define END }
#else
#define HOLD(guard) d_step { guard && mutex == 0 -> mutex = 1; DRAIN;
#define STEP
#define STEPS
#define END
#endif

#define END_TASK(t, how)                                 \
  assert(ending[t] == PENDING);                          \
  ending[t] = how; position[t] = NONE; wanted[t] = PENDING; rings[t] = 0; unfinished--;  \
  runs[t] = 0; started = started & (255 - BIT(t))
/* The code leaves the word as it is. Nobody looks at it before it is stored anew, so here it is wiped, which spares
 * states that differ in nothing. */
#define END_SLOT(s, t, how)                                                                             \
  owner_of[s] = NONE; in_slots--; slot[s].tag = FREE; slot[s].pos = NONE; slot[s].who = 0; slot[s].task = NONE; \
  slot[s].ring_owner_at_end = 0; slot[s].ring_service_at_end = 0;                                                     \
  END_TASK(t, how)

/* Inside a step, like those that follow, until it is said otherwise. */
inline collect_result(s_) {
  k = owner_of[s_];
  assert(slot[s_].task == k && runs[k] == 1);
  how = (wanted[k] != PENDING -> wanted[k] : VALUE);
  END_SLOT(s_, k, how); how = 0; k = 0
}

inline publish(s_, t_) {
  DRAIN_SLOT;
  slot[s_].task = t_; owner_of[s_] = t_; position[t_] = next_position;
  late_slot = s_; late_pos = next_position; late_rings = rings[t_];
  rings[t_] = 0;
#ifdef DEFECT_IDLE_BEFORE_BATCH
  if :: !published -> was_idle = (in_slots == 0) :: else fi;
#else
  was_idle = (!published && in_slots == 0);
#endif
  published = 1; next_position++; in_slots++;
#ifndef STORE_BUFFERS
  DRAIN_SLOT;
#endif
}

inline pass_over() {
  next_position++
}

/* True (ok = 1) if t may expect a ring at its end; 0 if it is done. A compare-and-swap. */
inline request_ring(s_, t_, ring_) {
  DRAIN;
  if
  :: position[t_] == NONE -> rings[t_] = rings[t_] | ring_; ok = 1
#ifndef DEFECT_REQUEST_DOES_NOT_LOOK
  :: position[t_] != NONE && IS_DONE(s_, t_) -> ok = 0
  :: position[t_] != NONE && !IS_DONE(s_, t_) ->
#else
  :: position[t_] != NONE ->
#endif
     if :: (ring_ & 1) -> slot[s_].ring_owner_at_end = 1 :: else fi;
     if :: (ring_ & 2) -> slot[s_].ring_service_at_end = 1 :: else fi;
     ok = 1
  fi
}

#define OLDEST_WAITING                                                                              \
  (HAS(backlog, 0) -> 0 : (HAS(backlog, 1) -> 1 : (HAS(backlog, 2) -> 2 : (HAS(backlog, 3) -> 3 : 4))))

/* Several steps, like those that follow. Here each looks at one slot: is it free, or can it be made so? */
inline refill() {
  n = 0;
  do
  :: STEPS
       STEP
         s = next_position % SLOTS;
         if
         :: backlog == 0 || n >= SLOTS -> n = NONE
         :: else ->
            if
            :: owner_of[s] != NONE && IS_READY(s) -> n = NONE  /* the ring is full */
            :: owner_of[s] != NONE && !IS_READY(s) && !IS_DONE(s, owner_of[s]) -> pass_over(); n++
            :: else ->
               if :: owner_of[s] != NONE -> collect_result(s) :: else fi;
               k = OLDEST_WAITING; backlog = backlog & (255 - BIT(k));
               publish(s, k); n = 0; k = 0
            fi
         fi;
         s = 0
       END;
       if :: n == NONE || backlog == 0 -> n = 0; break :: else fi
     END
  od
}

#define LOOK_AT(i)                                                            \
  s = (next_position + (i)) % SLOTS;                                          \
  if                                                                          \
  :: owner_of[s] != NONE && IS_DONE(s, owner_of[s]) -> collect_result(s)             \
  :: else                                                                     \
  fi;                                                                         \
  s = 0

inline pump() {
#ifdef ONE_LOOK_A_STEP
  i = 0;
  do
  :: STEPS
       STEP
         do
         :: i < SLOTS && owner_of[(next_position + i) % SLOTS] == NONE -> i++
         :: else -> break
         od;
         if :: i < SLOTS -> LOOK_AT(i); i++ :: else fi
       END;
       if :: i >= SLOTS -> i = 0; break :: else fi
     END
  od;
#else
  STEP
    i = 0;
    do
    :: i < SLOTS -> LOOK_AT(i); i++
    :: else -> i = 0; break
    od
  END;
#endif
  if :: backlog != 0 -> refill() :: else fi
}

#define REQUEST_FOR_REFILL(i)                                                    \
  s = (next_position + SLOTS / 2 + i) % SLOTS;                                \
  if                                                                          \
  :: owner_of[s] != NONE ->                                                   \
     request_ring(s, owner_of[s], 2);                                                 \
     if :: ok -> requested++ :: else -> missed = 1 fi                            \
  :: else                                                                     \
  fi;                                                                         \
  s = 0; ok = 0

#ifdef DEFECT_REFILL_WAITS_FOR_SLOW_TASK
#define NO_REQUEST_WILL_DO (requested == 0)
#else
#define NO_REQUEST_WILL_DO (requested == 0 || (missed && requested <= WORKERS))
#endif

/* `backlog` is not empty. */
inline ask_for_refill() {
#ifdef ONE_LOOK_A_STEP
  do
  :: STEPS
       STEP
         if :: !refill_asked && i < SLOTS && requested <= WORKERS -> REQUEST_FOR_REFILL(i); i++ :: else fi
       END;
       if
       :: refill_asked || i >= SLOTS || requested > WORKERS ->
          STEP
            if :: !refill_asked && NO_REQUEST_WILL_DO -> service_doorbell = 1 :: else fi;
            refill_asked = 1; i = 0; requested = 0; missed = 0
          END;
          break
       :: else
       fi
     END
  od
#else
  STEP
    do
    :: !refill_asked && i < SLOTS && requested <= WORKERS -> REQUEST_FOR_REFILL(i); i++
    :: else -> break
    od;
    if :: !refill_asked && NO_REQUEST_WILL_DO -> service_doorbell = 1 :: else fi;
    refill_asked = 1; i = 0; requested = 0; missed = 0
  END
#endif
}

/* The task joins those that wait, and they move up. */
inline enqueue(t_) {
  STEP unfinished++; backlog = backlog | BIT(t_) END;
  refill();
  if :: backlog != 0 -> ask_for_refill() :: else fi
}

inline ring_worker(w_) {
  record[w_].doorbell = 1
}

inline wake_one() {
  if
  :: d_step { (asleep & 1) -> asleep = asleep & 2 }; ring_worker(0)
  :: d_step { asleep == 2 -> asleep = 0 }; ring_worker(1)
  :: asleep == 0
  fi
}

/* One load a step: m is 1, 2, 3 while those bits of `spinning` are to be looked at; leaves m = 4 if nobody spins,
 * else 0. */
inline somebody_spins(closely) {
#if SPINNERS
  d_step { m = (spinning == 0 -> 4 : (closely -> spinning : 0)) };
  do
  :: d_step { (m == 1 || m == 3) && record[0].current != 0 -> m = (m == 3 -> 2 : 4) }
  :: d_step { (m == 1 || m == 3) && record[0].current == 0 -> m = 0 }
  :: d_step { m == 2 && record[1].current != 0 -> m = 4 }
  :: d_step { m == 2 && record[1].current == 0 -> m = 0 }
  :: m == 0 || m == 4 -> break
  od
#else
  m = 4
#endif
}

/* A step: what was published while the mutex was held is shown when it is released. */
#ifdef ONE_LOOK_A_STEP
#define RELEASE atomic { show_published() } }
#else
#define RELEASE show_published() }
#endif
inline show_published() {
  quick = was_idle; was_idle = 0;
  if :: published -> m = 5 :: else fi;
  published = 0;
  late_tail = next_position;
#ifndef STORE_BUFFERS
  tail = late_tail;
#endif
  mutex = 0
}

/* Steps, without the mutex: wakes a worker if need be. m = 5 if something was published. */
inline alert() {
  if
  :: d_step { m == 0 -> quick = 0 }
#ifdef DEFECT_NO_FENCE_BEFORE_ALERT
  :: d_step { m == 5 && asleep == 0 -> quick = 0; m = 0 }
  :: m == 5 && asleep != 0 ->
#else
  :: d_step { m == 5 && asleep == 0 -> DRAIN; quick = 0; m = 0 }
  :: d_step { m == 5 && asleep != 0 -> DRAIN };
#endif
     somebody_spins((!quick));
     if :: d_step { m == 4 -> m = 0 }; wake_one() :: m == 0 fi;
     quick = 0
  fi
}

inline ring_owner() {
  owner_doorbell = 1
}
inline ring_service() {
  service_doorbell = 1
}
inline ring_all_workers() {
  ring_worker(0);
  ring_worker(1)
}

/* A step. */
inline cancel_ready(s_, t_) {
  assert(runs[t_] == 0);
  slot[s_].tag = FREE;
  if :: slot[s_].ring_service_at_end || backlog != 0 -> ring_service() :: else fi;
  END_SLOT(s_, t_, CANCELLED)
}

/* A step; what has to follow is that the worker is killed. */
inline mark_for_kill(s_, t_, why) {
  w = slot[s_].who;
#ifndef DEFECT_KILL_WITHOUT_MARK
  slot[s_].tag = MARKED_FOR_KILL;
  record[w].to_be_killed = 1;
#endif
  wanted[t_] = why
}

inline ask_to_kill() {
  STEP record[w].kill_wanted = 1; w = 0 END
}

#define LOCALS                                                                                     \
  byte s = 0, n = 0, i = 0, k = 0, m = 0, w = 0, how = 0, requested = 0;                                     \
  bit ok = 0, missed = 0, quick = 0
