"""A model of KVM/MIPS: root mode of the cores, as Linux would use it. docs/kvm.md is its page."""
