"""Mutation testing: does a test fail when the code is changed by a sign, a bound or a constant?"""
