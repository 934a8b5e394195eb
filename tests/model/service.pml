/* A worker of this pool was reaped: nobody writes in its name any more. First what it had, in one step, because
 * nobody else writes it now. */
inline reclaim() {
  i = 0;
  do
  :: i < SLOTS ->
     if
     :: owner_of[i] != NONE && late_slot != i && slot[i].who == w && slot[i].tag == DONE &&
          slot[i].pos == position[owner_of[i]] ->
#ifdef DEFECT_RECLAIM_OF_DONE
        assert(slot[i].tag != DONE)
#else
        collect_result(i)
#endif
     :: owner_of[i] != NONE && late_slot != i && slot[i].who == w &&
          (slot[i].tag == RUNNING || slot[i].tag == MARKED_FOR_KILL) ->
        n = owner_of[i];
        runs[n]--;
        if
        :: wanted[n] != PENDING -> how = wanted[n]; END_SLOT(i, n, how); how = 0
        :: wanted[n] == PENDING && HAS(retries, n) ->
           retries = retries & (255 - BIT(n));
           backlog = backlog | BIT(n);
           owner_of[i] = NONE; in_slots--; position[n] = NONE; rings[n] = 3
        :: else -> END_SLOT(i, n, DIED)
        fi;
        n = 0
     :: else
     fi;
     i++
  :: else -> i = 0; break
  od
}

inline on_worker_end() {
  STEP
    reclaim();
#ifndef DEFECT_BITS_OF_THE_DEAD_STAY
    spinning = spinning & (255 - BIT(w))
#endif
  END;
  STEP
#ifndef DEFECT_BITS_OF_THE_DEAD_STAY
    asleep = asleep & (255 - BIT(w));
#endif
    record[w].life = EMPTY
  END;
  if
  :: STEP
       !closing ->
       record[w].current = 0; late_current[w] = NONE; record[w].doorbell = 0; record[w].kill_wanted = 0; record[w].to_be_killed = 0;
       record[w].life = SPAWN_WANTED
     END
  :: closing
  fi;
#ifndef DEFECT_NO_RING_FOR_DEATHS
  ring_all_workers();
  ring_owner()
#endif
}

#define MAY_BE_LATE(t)                                                                       \
  (HAS(TIMED, t) && position[t] != NONE && late_slot != position[t] % SLOTS &&                  \
   slot[position[t] % SLOTS].tag == RUNNING && wanted[t] == PENDING)

/* Any running task that has a deadline may be past it. */
inline kill_overdue(t_) {
  HOLD(MAY_BE_LATE(t_))
    STEP
      if
      :: MAY_BE_LATE(t_) -> s = position[t_] % SLOTS; mark_for_kill(s, t_, TIMED_OUT); s = 0; n = 1
      :: else
      fi
    END;
    if :: n == 1 -> ask_to_kill(); n = 0 :: else fi;
    RELEASE
}

#if STRAY
#define IS_STUCK(s) ((s) < SLOTS && owner_of[s] != NONE && slot[s].tag == READY)
#define ANY_READY (IS_STUCK(0) || IS_STUCK(1) || IS_STUCK(2))
#define BEHIND_HEAD(s) (IS_STUCK(s) && slot[s].pos < head)
#define WORDS_WRONG                                                                                     \
  (tail != next_position || head > next_position || BEHIND_HEAD(0) || BEHIND_HEAD(1) || BEHIND_HEAD(2))

/* What the owner has in its own memory. */
inline repair_control() {
  STEP tail = next_position; late_tail = tail; head = 0 END
}

/* No worker will look at what is ready any more. Oldest first; each is a compare-and-swap. */
inline publish_again() {
  i = 0; k = next_position;
  do
  :: STEPS
       STEP
         if
         :: i < SLOTS ->
            s = (k + i) % SLOTS;
            if
            :: IS_STUCK(s) ->
               slot[s].tag = READY; slot[s].pos = position[owner_of[s]] + SLOTS; position[owner_of[s]] = slot[s].pos;
               next_position = slot[s].pos + 1; published = 1; was_idle = 0
            :: else
            fi;
            i++; s = 0
         :: else
         fi
       END;
       if :: i >= SLOTS -> i = 0; k = 0; break :: else fi
     END
  od
}

active proctype Stray() {
end:
  if
  :: tail = 0
  :: tail = 9
  :: head = 9
  :: asleep = 0
  fi
}
#endif

active proctype Service() {
  LOCALS;
end:
  do
  :: HOLD(service_doorbell && !stop_service)
       STEP service_doorbell = 0; refill_asked = 0 END;
#if DEATHS || SHUTDOWN
       if :: STEP record[0].life == ENDED -> w = 0 END; on_worker_end() :: record[0].life != ENDED fi;
       if :: STEP record[1].life == ENDED -> w = 1 END; on_worker_end() :: record[1].life != ENDED fi;
       w = 0;
#endif
       pump();
       if :: backlog != 0 -> ask_for_refill() :: else fi;
       RELEASE;
     alert()
#if TIMED
  :: kill_overdue(0); alert()
  :: kill_overdue(1); alert()
#endif
#if STRAY
  /* After 200 ms in which no task ended, or more. */
#ifndef DEFECT_NO_REPAIR
  :: HOLD(WORDS_WRONG) repair_control(); RELEASE; alert(); ring_all_workers()
#endif
#ifndef DEFECT_NO_PUBLISH_AGAIN
  :: HOLD(!WORDS_WRONG && resting == 3 && !record[0].doorbell && !record[1].doorbell && ANY_READY)
       publish_again(); RELEASE; alert(); ring_all_workers()
#endif
#endif
  :: stop_service -> break
  od
}

/* ---- Fork server ------------------------------------------------------------------------------------------- */

inline kill(w_) {
  assert(owner_of[0] == NONE || slot[0].who != w_ || slot[0].tag != RUNNING);
  assert(owner_of[1] == NONE || slot[1].who != w_ || slot[1].tag != RUNNING);
#if SLOTS > 2
  assert(owner_of[2] == NONE || slot[2].who != w_ || slot[2].tag != RUNNING);
#endif
  record[w_].dead = 1
}
inline spawn(w_) {
  record[w_].life = ALIVE
}
/* By the fork server, once the process is gone. */
inline reap(w_) {
  record[w_].life = ENDED; record[w_].dead = 0; service_doorbell = 1
}

active proctype ForkServer() {
end:
  do
  :: d_step { record[0].life == SPAWN_WANTED -> spawn(0) }
  :: d_step { record[1].life == SPAWN_WANTED -> spawn(1) }
#if DEATHS && !SERVER_STOPPED
  :: d_step { record[0].life == ALIVE && !record[0].dead && record[0].kill_wanted -> kill(0) }
  :: d_step { record[1].life == ALIVE && !record[1].dead && record[1].kill_wanted -> kill(1) }
#endif
#if CRASHES
  :: d_step { crashes > 0 && unfinished > 0 && record[0].life == ALIVE && !record[0].dead -> crashes--; record[0].dead = 1 }
  :: d_step { crashes > 0 && unfinished > 0 && record[1].life == ALIVE && !record[1].dead -> crashes--; record[1].dead = 1 }
#endif
  :: closing && record[0].life != ALIVE && record[1].life != ALIVE && record[0].life != SPAWN_WANTED &&
       record[1].life != SPAWN_WANTED -> break
  od;
  server_gone = 1
}
