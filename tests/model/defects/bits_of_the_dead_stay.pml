/* The bits of a dead worker are not cleared. */
#define DEFECT_BITS_OF_THE_DEAD_STAY
#include "../configurations/death_at_a_doorbell.pml"
